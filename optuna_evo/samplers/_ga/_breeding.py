"""The parents and the child of a slot: a function of its assignment and the population."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from optuna_evo.samplers._ga._adaptive import breed_adaptive
from optuna_evo.samplers._ga._adaptive import draw_step
from optuna_evo.samplers._ga._assignment import SlotAssignment
from optuna_evo.samplers._ga._lists import declared_lists
from optuna_evo.samplers._ga._operators import anneal
from optuna_evo.samplers._ga._operators import breed
from optuna_evo.samplers._ga._operators import select
from optuna_evo.samplers._ga._population import Member
from optuna_evo.samplers._ga._population import Population
from optuna_evo.samplers._ga._ways import ADAPTIVE
from optuna_evo.samplers._ga._ways import ANNEALED


__all__ = ["child", "with_parents"]


def with_parents(
    population: Population, pool: Sequence[Member], assignment: SlotAssignment
) -> SlotAssignment:
    """Choose the parents from the pool, and the size of the mutation where it adapts."""
    order = sorted(range(len(pool)), key=lambda k: pool[k].rank)
    ranks = [0] * len(pool)
    for rank, k in enumerate(order):
        ranks[k] = rank
    rng = assignment.selection_rng()
    first, second = select(ranks, population.way.tournament_size, rng)
    parents = pool[first].trial.number, pool[second].trial.number
    step = 0.0
    if assignment.operators == ADAPTIVE:
        step = draw_step(population.heritage(assignment.generation).steps, rng)
    return replace(assignment, parents=parents, step=step)


def child(
    population: Population,
    assignment: SlotAssignment,
    lists: str | Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return what the trial of a slot is to have; empty where it has no parents.

    Args:
        population: All members.
        assignment: Of the slot.
        lists: Declared lists; a text: those found in the trials.
    """
    if assignment.repeats is not None:
        return dict(population.params(assignment.repeats))
    if not assignment.parents:
        return {}
    mother, father = (population.params(number) for number in assignment.parents)
    generation, way = assignment.generation, population.way
    specs = (
        population.lists(generation)
        if isinstance(lists, str)
        else declared_lists(lists, population.space)
    )
    rng = assignment.variation_rng()
    if assignment.operators == ANNEALED:
        rates = anneal(way.rates, generation, way.n_generations)
        return breed(mother, father, space=population.space, specs=specs, rates=rates, rng=rng)
    return breed_adaptive(
        mother,
        father,
        space=population.space,
        specs=specs,
        rates=way.rates,
        step=assignment.step,
        donors=population.heritage(generation).donors,
        rng=rng,
    )

"""The parents and the child of a slot: a function of its assignment and the population."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from optuna_evo.samplers._ga._adaptive import breed_adaptive
from optuna_evo.samplers._ga._adaptive import draw_step
from optuna_evo.samplers._ga._assignment import SlotAssignment
from optuna_evo.samplers._ga._lists import declared_lists
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._operators import anneal
from optuna_evo.samplers._ga._operators import breed
from optuna_evo.samplers._ga._operators import select
from optuna_evo.samplers._ga._population import Member
from optuna_evo.samplers._ga._population import Population
from optuna_evo.samplers._ga._ways import ANNEALED


__all__ = ["child", "Lists", "with_parents"]

Lists = str | Mapping[str, Sequence[str]]
"""Declared lists; a text: those found in the trials."""


def with_parents(
    population: Population,
    pool: Sequence[Member],
    assignment: SlotAssignment,
    lists: Lists,
) -> SlotAssignment:
    """Choose the parents from the pool, and what else makes the child.

    Adaptive: in every second slot, of several children, each of two parents and with a mutation of
    its own size, the most promising by what all trials before the generation have shown.
    """
    order = sorted(range(len(pool)), key=lambda k: pool[k].rank)
    ranks = [0] * len(pool)
    for rank, k in enumerate(order):
        ranks[k] = rank
    rng, way, generation = assignment.selection_rng(), population.way, assignment.generation

    def drawn(variant: int) -> SlotAssignment:
        first, second = select(ranks, way.tournament_size, rng)
        parents = pool[first].trial.number, pool[second].trial.number
        if assignment.operators == ANNEALED:
            return replace(assignment, parents=parents)
        step = draw_step(population.heritage(generation).steps, rng)
        return replace(assignment, parents=parents, step=step, variant=variant)

    # every second slot is evolution's alone, whatever the process expects of its child
    is_plain = assignment.slot % 2 == 0 or way.n_offspring == 1
    if is_plain or assignment.operators == ANNEALED:
        return drawn(0)
    variants = [drawn(variant) for variant in range(way.n_offspring)]
    specs = _specs(population, generation, lists)
    screen = population.screen(generation, specs)
    if screen is None:
        return variants[0]
    return variants[screen.best_of([child(population, each, lists) for each in variants])]


def child(
    population: Population,
    assignment: SlotAssignment,
    lists: Lists,
) -> dict[str, Any]:
    """Return what the trial of a slot is to have; empty where it has no parents.

    Args:
        population: All members.
        assignment: Of the slot.
        lists: Which lists there are.
    """
    if assignment.repeats is not None:
        return dict(population.params(assignment.repeats))
    if not assignment.parents:
        return {}
    mother, father = (population.params(number) for number in assignment.parents)
    generation, way = assignment.generation, population.way
    specs = _specs(population, generation, lists)
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


def _specs(population: Population, generation: int, lists: Lists) -> tuple[ListSpec, ...]:
    if isinstance(lists, str):
        return population.lists(generation)
    return declared_lists(lists, population.space)

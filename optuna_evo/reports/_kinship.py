"""Who was bred from whom: parents by the genetic samplers, or by the weights that were taken over.

`search.ancestors` follows weights. A trial of a genetic search trains from fresh weights, and its
two parents gave it its parameters.
"""

from collections.abc import Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import GA_ASSIGNMENT
from optuna_evo.reports._summary import generation_of
from optuna_evo.search import parent_of


__all__ = ["children_of", "Kin", "kinship", "parents_of"]


class Kin(NamedTuple):
    """A trial among the ancestors of the best one.

    Args:
        number: Number of the trial.
        generation: Its generation.
        value: Its value.
        parents: Numbers of its parents that are known.
    """

    number: int
    generation: int
    value: float
    parents: Sequence[int]


def parents_of(trial: FrozenTrial) -> list[int]:
    """Return the numbers of a trial's parents, each once; empty if it has none."""
    parent = parent_of(trial)
    if parent is not None:
        return [parent]
    slot = GA_ASSIGNMENT.read(trial.system_attrs)
    if not isinstance(slot, dict):
        return []
    found = [slot["repeats"]] if slot.get("repeats") is not None else slot.get("parents", [])
    return [*dict.fromkeys(n for n in found if isinstance(n, int))]


def children_of(trials: Sequence[FrozenTrial]) -> dict[int, list[int]]:
    """Return for each trial that has children their numbers."""
    children: dict[int, list[int]] = {}
    for trial in trials:
        for parent in parents_of(trial):
            children.setdefault(parent, []).append(trial.number)
    return children


def kinship(trials: Sequence[FrozenTrial], best: int) -> list[Kin]:
    """Return the ancestors of the best trial and itself, by number; empty without generations."""
    found: dict[int, Kin] = {}
    todo = [best]
    while todo:
        number = todo.pop()
        if number in found or not 0 <= number < len(trials):
            continue
        trial = trials[number]
        generation = generation_of(trial)
        if generation is None or trial.state != TrialState.COMPLETE or trial.value is None:
            continue
        parents = [n for n in parents_of(trial) if n < number]
        found[number] = Kin(number, generation, float(trial.value), parents)
        todo += parents
    return [found[number] for number in sorted(found)] if len(found) > 1 else []

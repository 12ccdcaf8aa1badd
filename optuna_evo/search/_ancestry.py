"""Who goes on from whom, and which trials' weights are still needed: read from the trials alone.

A trial that goes on from another one's weights names it in the attribute `PARENT`. Weights
are left behind by complete trials that did not diverge.
"""

from collections.abc import Iterator
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import PARENT
from optuna_evo.samplers import rank_of
from optuna_evo.samplers import segment_of


__all__ = [
    "ancestors",
    "best_of",
    "deepest",
    "has_weights",
    "living",
    "needed",
    "parent_of",
    "relatives",
]

_TO_COME = (TrialState.RUNNING, TrialState.WAITING)


def parent_of(trial: FrozenTrial) -> int | None:
    """Return the number of the trial whose weights a trial goes on from; None: fresh ones."""
    parent = PARENT.read(trial.user_attrs)
    return parent if isinstance(parent, int) else None


def has_weights(trial: FrozenTrial) -> bool:
    """Tell whether a trial has left weights behind that one can go on from."""
    return trial.state == TrialState.COMPLETE and not DIVERGED.is_in(trial.user_attrs)


def ancestors(trials: Sequence[FrozenTrial], number: int | None) -> Iterator[FrozenTrial]:
    """Yield a trial of a study, its parent, that one's parent and so on.

    Args:
        trials: All trials of the study, by number.
        number: The first trial; None: there is none.
    """
    seen: set[int] = set()
    while number is not None and number < len(trials) and number not in seen:
        seen.add(number)
        yield trials[number]
        number = parent_of(trials[number])


def relatives(trials: Sequence[FrozenTrial], number: int | None) -> Iterator[FrozenTrial]:
    """Yield whom to go on from in the place of a trial, the nearest first.

    Its ancestors come first, itself at their head, then its descendants; those without weights are
    left out.
    """
    yield from (trial for trial in ancestors(trials, number) if has_weights(trial))
    generation = set() if number is None else {number}
    while generation:
        children = [t for t in trials if parent_of(t) in generation and t.number not in generation]
        yield from (trial for trial in children if has_weights(trial))
        generation = {child.number for child in children}


def deepest(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the trial whose weights have seen most steps, the latest of equals; None without."""
    return max(filter(has_weights, trials), key=lambda t: (_steps(t), t.number), default=None)


def best_of(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FrozenTrial | None:
    """Return the best of the trials with weights, the earliest of equals; None without."""
    maximize = direction == StudyDirection.MAXIMIZE
    left = filter(has_weights, trials)
    return min(left, key=lambda t: (rank_of(t, maximize=maximize), t.number), default=None)


def living(
    trials: Sequence[FrozenTrial],
    *,
    inherit: str,
    direction: StudyDirection,
    but_member: int | None = None,
) -> list[FrozenTrial]:
    """Return the trials whose weights make up the population now.

    Args:
        trials: All trials of the study, by number.
        inherit: "parent": the latest of each member or, where that diverged, whom it had gone on
            from. "shared": the one whose weights have seen most steps. "none": the best one.
        direction: That of the study.
        but_member: A member to leave out ("parent").
    """
    if inherit == "shared":
        last = deepest(trials)
        return [last] if last else []
    if inherit == "none":
        best = best_of(trials, direction)
        return [best] if best else []
    latest: dict[int, int] = {}
    for trial in trials:
        segment = segment_of(trial)
        if segment is not None and trial.state == TrialState.COMPLETE:
            latest[segment.member] = trial.number
    numbers = {number for member, number in latest.items() if member != but_member}
    return _with_weights(trials, numbers)


def needed(
    trials: Sequence[FrozenTrial],
    *,
    inherit: str,
    direction: StudyDirection,
    successor: FrozenTrial | None = None,
) -> set[int]:
    """Return the numbers of the trials whose weights may not be removed.

    These are the living ones and the parents of trials to come, since a dead worker's segment is
    done again by another one.

    Args:
        trials: As in `living`.
        inherit: As in `living`.
        direction: As in `living`.
        successor: A running trial that is about to leave its own weights behind: nobody but
            itself, as its parent, still keeps its member's older ones.
    """
    segment = segment_of(successor) if successor is not None else None
    member = segment.member if segment is not None else None
    alive = living(trials, inherit=inherit, direction=direction, but_member=member)
    to_come = [t for t in trials if t.state in _TO_COME]
    parents = {parent for t in to_come if (parent := parent_of(t)) is not None}
    return {t.number for t in (*alive, *_with_weights(trials, parents))}


def _with_weights(trials: Sequence[FrozenTrial], numbers: set[int]) -> list[FrozenTrial]:
    """Return for each number the nearest ancestor that has left weights behind."""
    lines = (filter(has_weights, ancestors(trials, number)) for number in sorted(numbers))
    return [trial for line in lines if (trial := next(line, None)) is not None]


def _steps(trial: FrozenTrial) -> int:
    """Return the optimizer steps that a trial's weights have seen."""
    attrs = trial.user_attrs
    return int(attrs.get("first_step", 0)) + int(attrs.get("optimizer_steps", 0))

"""Which trial a trial is, when it was given back and queued again.

A copy names the trials that it replaces, as Optuna's `RetryHeartbeatStaleTrialCallback` writes it.
To a sampler a trial and its copies are one: it has the place of the first of them.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from itertools import islice
from typing import Final

from optuna.trial import FrozenTrial
from optuna.trial import TrialState


__all__ = ["has_places", "is_copy", "n_places", "place_of", "replaced"]

_HISTORY: Final = "retry_history"  # numbers, the first trial first


def is_copy(trial: FrozenTrial) -> bool:
    """Whether a trial replaces one that was given back."""
    return _HISTORY in trial.system_attrs


def place_of(trial: FrozenTrial) -> int:
    """Return the number of the trial that this one is, or goes back to: its turn to ask."""
    history = trial.system_attrs.get(_HISTORY)
    return int(history[0]) if history else trial.number


def replaced(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that were given back, and live on in copies."""
    return {number for t in trials for number in t.system_attrs.get(_HISTORY, ())}


def n_places(trials: Sequence[FrozenTrial], before: int) -> int:
    """Return how many trials before a place have not failed, a trial and its copies being one.

    Args:
        trials: All trials of the study, in the order of numbers.
        before: The place.
    """
    given_back = replaced(trials)
    failed = {
        place_of(t) for t in trials if t.state == TrialState.FAIL and t.number not in given_back
    }
    return sum(not is_copy(t) and t.number not in failed for t in trials[:before])


def has_places(trials: Sequence[FrozenTrial], before: int, n: int) -> bool:
    """Tell whether at least n trials before a place have not failed, mostly from the first n."""
    sure = (t for t in trials[:before] if t.state != TrialState.FAIL and not is_copy(t))
    return sum(1 for _ in islice(sure, n)) == n or n_places(trials, before) >= n

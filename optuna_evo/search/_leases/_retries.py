"""The copy of a trial that was given back: how it is made, and how it is known.

What Optuna's `RetryHeartbeatStaleTrialCallback` writes is written here too, so that copies of both
kinds are one kind to samplers, and to Optuna.
"""

from collections.abc import Iterable
import copy

from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER


__all__ = ["copy_of", "has_copy", "is_double"]

_ORIGINAL = "failed_trial"
_HISTORY = "retry_history"


def copy_of(trial: FrozenTrial) -> FrozenTrial:
    """Return the waiting copy of a running trial: all but its reports and its worker's name."""
    names = (WORKER.key, *WORKER.aliases)
    history = [*trial.system_attrs.get(_HISTORY, ()), trial.number]
    return create_trial(
        state=TrialState.WAITING,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs={k: v for k, v in copy.deepcopy(trial.user_attrs).items() if k not in names},
        system_attrs={
            _ORIGINAL: history[0],
            **copy.deepcopy(trial.system_attrs),
            _HISTORY: history,
        },
    )


def has_copy(number: int, trials: Iterable[FrozenTrial]) -> bool:
    """Whether one of the trials is a copy of trial `number`."""
    return any(number == _copied(trial) for trial in trials)


def is_double(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
    """Whether a trial before this one is a copy of the same trial."""
    copied = _copied(trial)
    if copied is None:
        return False
    return any(t.number < trial.number and _copied(t) == copied for t in trials)


def _copied(trial: FrozenTrial) -> int | None:
    """Return the number of the trial that a trial is a copy of; None if of none."""
    history = trial.system_attrs.get(_HISTORY)
    return int(history[-1]) if history else None

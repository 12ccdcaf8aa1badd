"""Our transactions, tried again by the storage where it can: see `ResilientStorage`."""

from collections.abc import Callable
from typing import Any
from typing import TypeVar

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_evo.search._resilient import ResilientStorage


__all__ = ["change", "make", "read"]

_T = TypeVar("_T")


def change(storage: BaseStorage, trial_id: int, function: Callable[[], bool]) -> bool:
    """Change the state of a trial by a transaction, exactly once."""
    if isinstance(storage, ResilientStorage):
        return storage.change_once(trial_id, function)
    return function()


def make(
    storage: BaseStorage,
    study_id: int,
    template: FrozenTrial,
    function: Callable[[Any], _T],
) -> _T | int:
    """Make a trial from a template by a transaction, exactly once.

    Returns:
        What the function returns; the trial's id if an earlier try has made it.
    """
    if isinstance(storage, ResilientStorage):
        return storage.make_once(study_id, template, function)
    return function(template)


def read(storage: BaseStorage, function: Callable[..., _T], *arguments: Any) -> _T:
    """Read by a transaction."""
    if isinstance(storage, ResilientStorage):
        return storage.ask_again(function, *arguments)
    return function(*arguments)

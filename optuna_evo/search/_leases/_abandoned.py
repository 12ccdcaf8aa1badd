"""Trials that this process claimed and could not let go of.

A process that lives does not reclaim its own trials: another of its threads may train them. What
it left behind while the database failed is remembered here, so that it is made up for.
"""

from collections.abc import Iterator
import contextlib
import threading
from weakref import WeakKeyDictionary

from optuna.storages import BaseStorage

from optuna_evo.search._leases._transactions import rdb_of


__all__ = ["add", "remove", "trial_ids", "unless_done"]

_lock = threading.Lock()
_ids: "WeakKeyDictionary[BaseStorage, set[int]]" = WeakKeyDictionary()


def add(storage: BaseStorage, trial_id: int) -> None:
    """Note that nobody trains a trial any more, and that it has yet to be given back."""
    with _lock:
        _ids.setdefault(_key(storage), set()).add(trial_id)


def remove(storage: BaseStorage, trial_id: int) -> None:
    """Note that a trial has ended or been given back."""
    with _lock:
        _ids.get(_key(storage), set()).discard(trial_id)


def trial_ids(storage: BaseStorage) -> frozenset[int]:
    """Return the ids of the trials that have yet to be given back."""
    with _lock:
        return frozenset(_ids.get(_key(storage), ()))


@contextlib.contextmanager
def unless_done(storage: BaseStorage, trial_id: int) -> Iterator[None]:
    """Note that a trial is abandoned if the block raises."""
    try:
        yield
    except BaseException:
        add(storage, trial_id)
        raise


def _key(storage: BaseStorage) -> BaseStorage:
    # Optuna wraps a database anew for every study that is loaded
    return rdb_of(storage) or storage

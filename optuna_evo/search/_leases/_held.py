"""The trials that this process holds, so that it knows those that it has left behind.

A running trial of this process's name that it does not hold is nobody's: the answer to its claim
was lost, or the database failed when it was to be told or given back. Another thread may be about
to hold what it has just claimed; so nothing is said of trials that were read while one was.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
from dataclasses import field
import threading
from weakref import WeakKeyDictionary

from optuna.storages import BaseStorage

from optuna_evo.search._leases._transactions import rdb_of


__all__ = ["claiming", "hold", "left_behind", "let_go", "moment"]


@dataclass
class _Held:
    ids: set[int] = field(default_factory=set)
    n_claiming: int = 0
    n_claims: int = 0


_lock = threading.Lock()
_by_url: dict[str, _Held] = {}
_by_storage: "WeakKeyDictionary[BaseStorage, _Held]" = WeakKeyDictionary()


@contextlib.contextmanager
def claiming(storage: BaseStorage) -> Iterator[None]:
    """Say that a trial is being claimed; the block ends with `hold`, if it was."""
    held = _of(storage)
    with _lock:
        held.n_claiming += 1
        held.n_claims += 1
    try:
        yield
    finally:
        with _lock:
            held.n_claiming -= 1


def hold(storage: BaseStorage, trial_id: int) -> None:
    """Note that a trial is being trained here."""
    with _lock:
        _of(storage).ids.add(trial_id)


def let_go(storage: BaseStorage, trial_id: int) -> None:
    """Note that a trial is not being trained here any more, whatever became of it."""
    with _lock:
        _of(storage).ids.discard(trial_id)


def moment(storage: BaseStorage) -> int | None:
    """Return what stays the same until a trial is claimed; None while one is."""
    held = _of(storage)
    with _lock:
        return None if held.n_claiming else held.n_claims


def left_behind(storage: BaseStorage, read_at: int | None, trial_ids: Iterable[int]) -> set[int]:
    """Return which running trials of this process's name it does not hold.

    Args:
        storage: The storage.
        read_at: The `moment` before the trials were read.
        trial_ids: Those that ran then, and bore its name.
    """
    if read_at is None or moment(storage) != read_at:
        return set()
    with _lock:
        return set(trial_ids) - _of(storage).ids


def _of(storage: BaseStorage) -> _Held:
    database = rdb_of(storage)
    if database is None:
        return _by_storage.setdefault(storage, _Held())
    # one process may open a database several times
    return _by_url.setdefault(database.url, _Held())

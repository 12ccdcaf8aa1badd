"""Keep the trials of a batch alive in the storage while they are trained."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import threading
from typing import Any

import optuna

from optuna_evo.search._leases import _transactions as transactions


__all__ = ["heartbeat"]


@contextlib.contextmanager
def heartbeat(
    study: optuna.Study, trials: Sequence[optuna.Trial], *, asked_s: float | None = None
) -> Iterator[None]:
    """Keep the trials alive in the storage while the block runs.

    Args:
        study: The study.
        trials: The trials.
        asked_s: Seconds since the first of them was claimed: in a database that was its first
            heartbeat, so that the next one is not due yet. None: it is due now.
    """
    storage: Any = study._storage
    interval = getattr(storage, "get_heartbeat_interval", lambda: None)()
    if interval is None:  # in memory, or a journal: no heartbeat there
        yield
        return
    stop = threading.Event()
    has_beaten = asked_s is not None and transactions.rdb_of(storage) is not None
    first_s = max(0.0, interval - asked_s) if has_beaten and asked_s is not None else 0.0

    def beat() -> None:
        if stop.wait(first_s):
            return
        while True:
            for trial in trials:
                # a missed beat is made up by the next one; training must not fail over it
                with contextlib.suppress(Exception):
                    storage.record_heartbeat(trial._trial_id)
            if stop.wait(interval):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

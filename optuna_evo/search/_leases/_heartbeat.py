"""Keep the trials of a batch alive in the storage while they are trained."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import threading
from typing import Any

import optuna


__all__ = ["heartbeat"]


@contextlib.contextmanager
def heartbeat(study: optuna.Study, trials: Sequence[optuna.Trial]) -> Iterator[None]:
    """Keep the trials alive in the storage while the block runs."""
    storage: Any = study._storage
    interval = getattr(storage, "get_heartbeat_interval", lambda: None)()
    if interval is None:  # in memory, or a journal: no heartbeat there
        yield
        return
    stop = threading.Event()

    def beat() -> None:
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

"""Who trains which trial, and how a dead worker's trial comes back.

A trial that is being trained carries its worker's name, "host:pid", and a heartbeat. It
is given back, as a waiting copy with the same parameters and the same slot of its generation, in
three cases: its worker says so (interrupted), its worker ran on this host and is no longer alive
(killed), or its heartbeat has been silent for the storage's grace period (a lost machine).
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import socket
import threading
from typing import Any
import warnings

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER


__all__ = ["ask", "heartbeat", "reclaim", "release"]


def this_worker() -> str:
    """Return "host:pid" of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def ask(study: optuna.Study) -> optuna.Trial:
    """Ask for a trial that carries this worker's name from its first moment.

    A plain `study.ask` followed by `set_user_attr` would leave a moment in which a killed worker's
    trial belongs to nobody, so the trial is queued with its name first and then asked for.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial({}, user_attrs={WORKER.key: this_worker()})
    with warnings.catch_warnings():
        # Optuna expects heartbeats in `optimize` only; `heartbeat` below gives them
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        trial = study.ask()
    if trial.user_attrs.get(WORKER.key) != this_worker():
        trial.set_user_attr(WORKER.key, this_worker())
    return trial


def release(study: optuna.Study, number: int) -> None:
    """Give a running trial back: it fails, and a waiting copy takes its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # finished by someone else in the meantime: before it was looked at, or after
        with contextlib.suppress(ValueError, UpdateFinishedTrialError):
            failed = study.tell(number, state=TrialState.FAIL)
            RetryHeartbeatStaleTrialCallback()(study, failed)


def reclaim(study: optuna.Study) -> int:
    """Give back the trials of dead workers and return how many of this host's there were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    dead = [t for t in running if _is_dead(WORKER.read(t.user_attrs, ""))]
    for trial in dead:
        release(study, trial.number)
    return len(dead)


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


def _is_dead(worker: str) -> bool:
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit() or worker == this_worker():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # alive, but somebody else's
        return False
    return False

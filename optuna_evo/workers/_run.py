"""Run a stored study with many workers."""

from collections.abc import Callable
from collections.abc import Sequence
import time
from typing import Any

from optuna.storages import BaseStorage
from rich.console import Console

from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import UsageError
from optuna_evo.search import FINISHED
from optuna_evo.study import StoredStudy
from optuna_evo.workers._events import Event
from optuna_evo.workers._pool import Launch
from optuna_evo.workers._pool import Outcome
from optuna_evo.workers._pool import run_pool
from optuna_evo.workers._progress import PoolProgress


__all__ = ["check_shared", "is_one_file", "run_workers", "sqlite_limit"]

# Where a transaction of each of SQLite's writers waits for all others: see the figures in
# `optuna_evo.workers`.
_SQLITE_WORKERS = 8


def check_shared(storage: BaseStorage) -> None:
    """Refuse a storage that several processes cannot share.

    Raises:
        UsageError: With the reason.
    """
    backend: Any = getattr(storage, "_backend", storage)
    engine = getattr(backend, "engine", None)
    if engine is not None and engine.name == "sqlite" and not _file(engine):
        raise UsageError(
            "A database in memory is seen by one process: name one in a file, such as "
            "--storage sqlite:///studies.db, or a server."
        )
    if getattr(backend, "get_heartbeat_interval", lambda: None)() is None:
        raise UsageError(
            f"{type(backend).__name__} knows no heartbeats: the trial of a worker that dies would "
            "never come back. Several workers need an SQLite file, PostgreSQL or MySQL."
        )


def is_one_file(storage: BaseStorage) -> bool:
    """Tell whether a storage is a file, which one machine sees."""
    engine: Any = getattr(getattr(storage, "_backend", storage), "engine", None)
    return engine is not None and engine.name == "sqlite"


def sqlite_limit(storage: BaseStorage, n_workers: int) -> str | None:
    """Return what to know before so many workers share an SQLite file; None: nothing."""
    if not is_one_file(storage) or n_workers <= _SQLITE_WORKERS:
        return None
    return (
        f"SQLite takes one writer at a time: {n_workers} workers get about as many trials a "
        f"second as {_SQLITE_WORKERS}. That is enough for trials of many seconds; PostgreSQL "
        "takes more."
    )


def run_workers(
    stored: StoredStudy,
    launch: Launch,
    n_workers: int,
    *,
    arguments: Sequence[str],
    timeout: float | None,
    console: Console,
    log_console: Console,
    log: Callable[[Event], None],
) -> Outcome:
    """Run a study by workers until it is finished, or told to stop.

    Args:
        stored: The study, with the number of trials to end with.
        launch: Starts workers.
        n_workers: How many, at least 1.
        arguments: Command line of a worker, which gets its number besides.
        timeout: Seconds after which no trial is begun; None: no limit.
        console: Where to draw progress, if it is a terminal.
        log_console: Where to write what happens, if it is none.
        log: Takes each event.

    Raises:
        OptunaEvoError: If trials are left because workers ended for good.
    """
    deadline = None if timeout is None else time.monotonic() + timeout

    def of_worker(number: int) -> list[str] | None:
        # options first: what follows "--" is what to run
        options = ["--worker-number", str(number)]
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            options += ["--timeout", f"{max(left, 1):.0f}s"]
        return [*arguments[:2], *options, *arguments[2:]]

    study, n_trials = stored.study, stored.spec.n_trials
    with PoolProgress(
        study, n_trials=n_trials, n_workers=n_workers, console=console, log=log_console
    ) as progress:
        outcome = run_pool(
            launch,
            n_workers,
            arguments=of_worker,
            display=progress,
            log=log,
            study=study.study_name,
        )
    n_left = n_trials - len(study.get_trials(deepcopy=False, states=FINISHED))
    timed_out = deadline is not None and time.monotonic() >= deadline
    if outcome.errors and n_left > 0 and not outcome.stopped_by and not timed_out:
        number, why = next(iter(sorted(outcome.errors.items())))
        raise OptunaEvoError(
            f"{n_left} trials are left, and {len(outcome.errors)} of {n_workers} workers ended "
            f"for good. Worker {number}: {why}"
        )
    return outcome


def _file(engine: Any) -> str | None:
    database = engine.url.database
    return None if database in (None, "", ":memory:") else str(database)

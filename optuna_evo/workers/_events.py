"""What happens in a worker, one JSON object each: the log of `--log-json`, and what a pool hears.

Every event has `event`, `time` (UTC, ISO 8601) and `study`; those of a worker have `worker`, its
number, and those of a trial have `trial`. The names:

    worker_started    host, pid
    started           a trial begins
    reported          report, n_reports
    finished          state (complete, pruned), value, feasible, seconds, diverged, reused
    failed            error, traceback (its last lines, where they are known)
    worker_stopped    reason (done, interrupted, error), error, restart: whether another try helps
    worker_crashed    written by the pool: cause, lines (the last of its output), restart_in_s
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import datetime
import json
import math
import os
import socket
from typing import Any
from typing import TextIO

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import TRACEBACK
from optuna_evo.errors import OptunaEvoError
from optuna_evo.samplers import is_feasible


__all__ = ["Event", "EventListener", "json_lines", "worker_events"]

Event = dict[str, Any]


def json_lines(stream: TextIO) -> Callable[[Event], None]:
    """Return what writes an event as a line of JSON; a reader that is gone is no error."""

    def write(event: Event) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # ValueError: closed
            stream.write(json.dumps(event, default=str) + "\n")
            stream.flush()

    return write


def new_event(name: str, study: str, **fields: Any) -> Event:
    """Return an event of this moment; numbers that JSON does not know are written as text."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    shown = {key: _shown(value) for key, value in fields.items() if value is not None}
    return {"time": now, "event": name, "study": study, **shown}


class EventListener:
    """A listener that writes an event for whatever a search tells.

    A search does not tell of failed trials: when a new batch begins, and at the end, those that
    were begun and not finished are looked up.

    Args:
        study: The study.
        write: Takes each event.
        fields: What all events hold besides, such as the number of a worker.
    """

    def __init__(self, study: optuna.Study, write: Callable[[Event], None], **fields: Any) -> None:
        self._study, self._write, self._fields = study, write, fields
        self._open: set[int] = set()
        self._is_new_batch = True

    def started(self, trial_number: int) -> None:
        """Write that a trial begins."""
        if self._is_new_batch:
            self.look_for_failures()
            self._is_new_batch = False
        self._open.add(trial_number)
        self.tell("started", trial=trial_number)

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Write that a trial has reported."""
        self._is_new_batch = True
        self.tell("reported", trial=trial_number, report=report, n_reports=n_reports)

    def finished(self, trial: FrozenTrial) -> None:
        """Write the result of a trial."""
        self._is_new_batch = True
        self._open.discard(trial.number)
        self.tell("finished", trial=trial.number, **_result(trial))

    def look_for_failures(self) -> None:
        """Write of the trials that were begun and have failed."""
        for number in sorted(self._open):
            trial = self._study.get_trials(deepcopy=False)[number]
            if trial.state == TrialState.FAIL:
                error = ERROR.read(trial.user_attrs, "its worker died or was interrupted")
                lines = TRACEBACK.read(trial.user_attrs)
                self.tell("failed", trial=number, error=error, traceback=lines)
        self._open.clear()

    def tell(self, name: str, **fields: Any) -> None:
        """Write an event of another kind."""
        self._write(new_event(name, self._study.study_name, **self._fields, **fields))


@contextlib.contextmanager
def worker_events(listener: EventListener) -> Iterator[None]:
    """Write that a worker starts, and how it ends.

    Errors that a user has to mend are not worth another try: `restart` says so.
    """
    listener.tell("worker_started", host=socket.gethostname(), pid=os.getpid())
    try:
        yield
    except Exception as error:
        _say(listener, "error", error=_named(error), restart=not _is_users(error))
        raise
    except BaseException:
        _say(listener, "interrupted")
        raise
    else:
        _say(listener, "done")


def _say(listener: EventListener, reason: str, **fields: Any) -> None:
    with contextlib.suppress(Exception):  # the database may be what failed
        listener.look_for_failures()
    listener.tell("worker_stopped", reason=reason, **fields)


def _named(error: Exception) -> str:
    return str(error) if _is_users(error) else f"{type(error).__name__}: {error}"


def _is_users(error: Exception) -> bool:
    return isinstance(error, OptunaEvoError)


def _result(trial: FrozenTrial) -> Mapping[str, Any]:
    length = trial.duration
    return {
        "state": trial.state.name.lower(),
        "value": trial.value,
        "feasible": is_feasible(trial),
        "seconds": None if length is None else round(length.total_seconds(), 3),
        "diverged": bool(DIVERGED.read(trial.user_attrs)) or None,
        "reused": REUSED_FROM.is_in(trial.user_attrs) or None,
    }


def _shown(value: Any) -> Any:
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else value

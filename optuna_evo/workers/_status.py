"""How a study goes: who works on it, how fast, what fails, and when it will end.

All of it is read from the database, so that any machine can ask.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import datetime
import re
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import WORKER
from optuna_evo.reports import best_trials
from optuna_evo.search import FINISHED


__all__ = ["study_status", "StudyStatus", "WorkerStatus"]

WINDOW_S = 600.0  # what speeds are measured over
_STEPS = "optimizer_steps"
_SILENT_S = 120.0  # where a storage says nothing of its own
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """A worker that trains.

    Args:
        name: As it stands on its trials.
        trials: Numbers of the trials that it trains.
        seconds: Since the first of them began.
        silent_s: Seconds since its last sign of life; None: there was none yet.
        is_alive: Whether that is within the grace period of the database.
    """

    name: str
    trials: tuple[int, ...]
    seconds: float
    silent_s: float | None
    is_alive: bool


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A study at one moment.

    Args:
        name: The study.
        n_trials: Finished trials with which it ends.
        counts: Trials by state, in lower case.
        n_diverged: Of the finished ones, those that diverged.
        best: The best value; None: no trial is complete.
        workers: Those that train now, the dead ones last.
        trials_per_minute: Finished trials over the last ten minutes of work; None: none yet.
        steps_per_second: Optimizer steps over the same time; None: not known.
        failures: Causes of failed trials with how many, the most frequent first.
        seconds_left: Until the end at that speed; None: not known.
    """

    name: str
    n_trials: int
    counts: Mapping[str, int]
    n_diverged: int
    best: float | None
    workers: Sequence[WorkerStatus]
    trials_per_minute: float | None
    steps_per_second: float | None
    failures: Sequence[tuple[str, int]]
    seconds_left: float | None

    @property
    def n_finished(self) -> int:
        """Trials that are complete or pruned."""
        return sum(self.counts.get(state.name.lower(), 0) for state in FINISHED)


def study_status(study: optuna.Study, n_trials: int) -> StudyStatus:
    """Read how a study goes.

    Speeds are those of the ten minutes before the last trial ended, or before now where a worker
    is alive. The clocks of the workers are taken to agree.

    Args:
        study: The study.
        n_trials: Finished trials with which it ends.
    """
    trials = study.get_trials(deepcopy=False)
    now = datetime.datetime.now()
    counts = Counter(trial.state.name.lower() for trial in trials)
    workers = _workers(study, [t for t in trials if t.state == TrialState.RUNNING], now)
    done = [t for t in trials if t.state in FINISHED and t.datetime_complete is not None]
    is_going = any(worker.is_alive for worker in workers)
    per_second, steps_per_second = _speeds(done, now if is_going else None)
    left = max(0, n_trials - len(done))
    best = best_trials(study, 1)
    return StudyStatus(
        name=study.study_name,
        n_trials=n_trials,
        counts=counts,
        n_diverged=sum(bool(DIVERGED.read(t.user_attrs)) for t in done),
        best=best[0].value if best else None,
        workers=workers,
        trials_per_minute=None if per_second is None else 60 * per_second,
        steps_per_second=steps_per_second,
        failures=_failures([t for t in trials if t.state == TrialState.FAIL]),
        seconds_left=left / per_second if per_second and is_going else None,
    )


def _workers(
    study: optuna.Study, running: Sequence[FrozenTrial], now: datetime.datetime
) -> list[WorkerStatus]:
    heard, grace_s = _heartbeats(study, [trial._trial_id for trial in running])
    by_name: dict[str, list[FrozenTrial]] = {}
    for trial in running:
        by_name.setdefault(str(WORKER.read(trial.user_attrs, "unknown")), []).append(trial)
    found = []
    for name, trials in by_name.items():
        starts = [t.datetime_start for t in trials if t.datetime_start is not None]
        seconds = (now - min(starts, default=now)).total_seconds()
        silences = [heard[t._trial_id] for t in trials if t._trial_id in heard]
        silent_s = min(silences, default=None)
        worker = WorkerStatus(
            name=name,
            trials=tuple(t.number for t in trials),
            seconds=max(0.0, seconds),
            silent_s=silent_s,
            # a trial has its first heartbeat soon after it began
            is_alive=(seconds if silent_s is None else silent_s) < grace_s,
        )
        found.append(worker)
    return sorted(found, key=lambda worker: (not worker.is_alive, worker.name))


def _heartbeats(study: optuna.Study, ids: Sequence[int]) -> tuple[dict[int, float], float]:
    """Return the seconds since the last heartbeat by id of a trial, and the grace period."""
    storage: Any = study._storage
    backend: Any = getattr(storage, "_backend", storage)
    grace_s = getattr(backend, "grace_period", None) or _SILENT_S
    engine = getattr(backend, "engine", None)
    if engine is None or not ids:
        return {}, grace_s
    import sqlalchemy

    table = sqlalchemy.table(
        "trial_heartbeats", sqlalchemy.column("trial_id"), sqlalchemy.column("heartbeat")
    )
    heartbeats = table.columns.heartbeat
    # by the clock of the database, which wrote them
    clock = sqlalchemy.select(sqlalchemy.func.current_timestamp())
    query = sqlalchemy.select(table.columns.trial_id, heartbeats)
    with engine.connect() as connection:
        now = _moment(connection.execute(clock).scalar())
        rows = connection.execute(query.where(table.columns.trial_id.in_(ids))).all()
    return {k: max(0.0, (now - _moment(at)).total_seconds()) for k, at in rows}, grace_s


def _moment(value: Any) -> datetime.datetime:
    """Return a time without its zone: databases give text, or times with a zone or without."""
    moment: datetime.datetime
    moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=None)


def _speeds(
    done: Sequence[FrozenTrial], now: datetime.datetime | None
) -> tuple[float | None, float | None]:
    """Return finished trials and optimizer steps a second over the window."""
    if not done:
        return None, None
    ends = [t.datetime_complete for t in done if t.datetime_complete is not None]
    end = max(*ends, now) if now is not None else max(ends)
    begin = end - datetime.timedelta(seconds=WINDOW_S)
    recent = [t for t, at in zip(done, ends, strict=True) if at >= begin]
    starts = [t.datetime_start for t in recent if t.datetime_start is not None]
    if not recent or not starts:
        return None, None
    seconds = (end - max(begin, min(starts))).total_seconds()
    if seconds <= 0:
        return None, None
    steps = [t.user_attrs[_STEPS] for t in recent if _is_number(t.user_attrs.get(_STEPS))]
    return len(recent) / seconds, sum(steps) / seconds if steps else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _failures(failed: Sequence[FrozenTrial]) -> list[tuple[str, int]]:
    causes = Counter(_cause(trial) for trial in failed)
    return causes.most_common()


def _cause(trial: FrozenTrial) -> str:
    """Return why a trial failed, without numbers, so that equal causes are counted together."""
    error = str(ERROR.read(trial.user_attrs, "")).strip()
    if not error:
        return "its worker died or was interrupted; it ran again"
    return _NUMBERS.sub("…", error.splitlines()[0])[:200]

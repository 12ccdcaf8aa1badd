"""Real workers on one database, and what must hold of the study that they leave behind."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
import multiprocessing
import multiprocessing.process
import os
from pathlib import Path
import time
from typing import Any
import warnings

import optuna
from optuna.samplers import BaseSampler
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER
from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.search import _others
from optuna_evo.search import _storage
from optuna_evo.search import open_storage
from optuna_evo.search import search
from optuna_evo.search._leases import _worker
from optuna_evo.search._resilient import ResilientStorage


PROCESSES = multiprocessing.get_context("forkserver")
Worker = multiprocessing.process.BaseProcess
SIZE = 10
SAMPLERS: Mapping[str, Callable[[], BaseSampler]] = {
    "ga": lambda: GASampler(population_size=SIZE, seed=3),
    "hybrid": lambda: HybridSampler(population_size=SIZE, n_generations=20, n_offspring=1, seed=3),
    "recurrence": lambda: RecurrenceSampler(population_size=SIZE, seed=3),
}


@dataclass(frozen=True)
class Genome:
    """What is trained: the parameters of a trial."""

    trial: optuna.Trial

    def fingerprint(self) -> str:
        return ""


class Sleep:
    """A training whose value is a function of its parameters; it writes down that it happened."""

    def __init__(self, trials: Sequence[optuna.Trial], seconds: float, log: Path) -> None:
        self.trials, self.seconds, self.log = list(trials), seconds, log
        self.step = 0

    def advance(self) -> list[float]:
        self.step += 1
        time.sleep(self.seconds)
        return [value_of(trial.params, self.step) for trial in self.trials]

    def drop(self, alive: Sequence[bool]) -> None:
        self.trials = [t for t, stays in zip(self.trials, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        return [{"trained_by": os.getpid()} for _ in self.trials]


class SleepObjective:
    n_reports = 2
    penalty = 10.0

    def __init__(self, seconds: float, log: Path) -> None:
        self.seconds, self.log = seconds, log

    def start(self, configs: Sequence[Genome], *, repetition: int) -> Sleep:
        trials = [config.trial for config in configs]
        with self.log.open("a") as file:  # one write: lines of several workers do not mix
            file.write("".join(f"{trial.number} {os.getpid()}\n" for trial in trials))
        return Sleep(trials, self.seconds, self.log)

    def value(self, reported: Sequence[float]) -> float:
        return reported[-1]


def value_of(params: Mapping[str, float], step: int) -> float:
    return sum((x - 0.3) ** 2 for x in params.values()) / step


def space(trial: optuna.Trial) -> Genome:
    for name in "abc":
        trial.suggest_float(name, 0.0, 1.0)
    return Genome(trial)


def work(
    url: str,
    log: Path,
    sampler: str,
    n_trials: int,
    seconds: float = 0.0,
    batch_size: int = 1,
    grace_s: int | None = None,
    clock_s: float = 0.0,
    identity: Mapping[str, str] | None = None,
) -> None:
    """Do what a worker does: run the study until it has `n_trials` trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if grace_s is not None:
        _storage._HEARTBEAT_INTERVAL_S, _storage._GRACE_PERIOD_S = 1, grace_s
        _others._BEAT_INTERVAL_S, _others._GRACE_PERIOD_S = 1, grace_s
    if clock_s:
        set_clock(clock_s)
    if identity is not None:
        become(identity)
    with opened(url) as storage:
        study = optuna.load_study(
            study_name="s", storage=storage, sampler=SAMPLERS[sampler](), pruner=_NOP
        )
        objective = SleepObjective(seconds, log)
        search(study, space=space, objective=objective, n_trials=n_trials, batch_size=batch_size)


_NOP = optuna.pruners.NopPruner()


@contextlib.contextmanager
def opened(url: str) -> Iterator[ResilientStorage]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = open_storage(url)
    try:
        yield storage
    finally:
        storage.close()


def set_clock(seconds: float) -> None:
    """Let the clock of this process be wrong."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Wrong":
            wrong = datetime.now(tz) + timedelta(seconds=seconds)
            return cls.fromtimestamp(wrong.timestamp(), tz)

    from optuna_evo.search._leases import _claims
    from optuna_evo.search._leases import _transactions

    for module in (rdb, _claims, _transactions):
        module.datetime = Wrong  # type: ignore[attr-defined]
    right = time.time
    time.time = lambda: right() + seconds


def become(identity: Mapping[str, str]) -> None:
    """Let this process be in another container: same host name, another namespace."""
    boot, namespace = identity["boot"], identity["namespace"]
    _worker._boot = lambda: boot
    _worker._namespace = lambda: namespace


def start(url: str, log: Path, sampler: str, n_trials: int, **options: Any) -> Worker:
    arguments = (url, log, sampler, n_trials)
    worker = PROCESSES.Process(target=work, args=arguments, kwargs=options)
    worker.start()
    return worker


def make_study(url: str) -> None:
    PROCESSES.set_forkserver_preload([__name__])
    with opened(url) as storage:
        optuna.create_study(study_name="s", storage=storage)


def read_trials(url: str) -> list[FrozenTrial]:
    with opened(url) as storage:
        return storage.get_all_trials(optuna.load_study(study_name="s", storage=storage)._study_id)


def places(trials: Sequence[FrozenTrial]) -> Counter[tuple[int, int]]:
    """Return the slots of the trials that did not fail."""
    found: Counter[tuple[int, int]] = Counter()
    for trial in trials:
        if trial.state == TrialState.FAIL:
            continue
        ga, recurrence = (
            trial.system_attrs.get(key)
            for key in ("GASampler:ticket", "RecurrenceSampler:segment")
        )
        if ga is not None:
            found[ga["generation"], ga["slot"]] += 1
        elif recurrence is not None:
            found[recurrence["member"], recurrence["turn"]] += 1
    return found


def check(
    trials: Sequence[FrozenTrial], n_trials: int, n_kills: int = 0, *, is_journal: bool = False
) -> None:
    """Check the invariants of `optuna_evo.search._leases` on a study that has ended."""
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] == n_trials, states
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0, states
    # each lost trial has one copy, which names it; there are no other failures
    copies: dict[int, list[int]] = {}
    for trial in trials:
        if "retry_history" in trial.system_attrs:
            copies.setdefault(trial.system_attrs["retry_history"][-1], []).append(trial.number)
    failed = {trial.number for trial in trials if trial.state == TrialState.FAIL}
    doubles = {number for numbers in copies.values() for number in sorted(numbers)[1:]}
    assert doubles <= failed if is_journal else not doubles
    assert set(copies) == failed - doubles
    assert len(failed - doubles) <= n_kills
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.value == value_of(trial.params, 2)
            assert WORKER.read(trial.user_attrs)
    taken = places(trials)
    doubled = [place for place, n in taken.items() if n > 1]
    assert doubled == [], doubled
    check_no_holes(taken)


def check_no_holes(taken: Mapping[tuple[int, int], int]) -> None:
    groups: dict[int, set[int]] = {}
    for group, position in taken:
        groups.setdefault(group, set()).add(position)
    for group, positions in groups.items():
        is_last = group == max(groups)
        if not is_last:
            assert positions == set(range(len(positions))), (group, positions)


def trained(log: Path) -> Counter[int]:
    """Return how often training began, by the number of the trial."""
    return Counter(int(line.split()[0]) for line in log.read_text().splitlines())


def has_begun(log: Path, worker: Worker) -> bool:
    """Tell whether a worker has begun to train anything."""
    return log.exists() and any(
        line.endswith(f" {worker.pid}") for line in log.read_text().splitlines()
    )

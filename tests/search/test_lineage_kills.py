"""`kill -9` of workers in the middle of segments: nothing is done twice, nothing is missing."""

from collections import Counter
from collections.abc import Callable
import multiprocessing
import multiprocessing.process
from pathlib import Path
import random
import signal
import sys
import time
from typing import Any

from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import PARENT
from optuna_evo.attributes import WORKER
from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from tests.search.lineages import check_parents


N_MEMBERS = 4
N_WORKERS = 2
N_KILLS = 10
SPEC: dict[str, Any] = {
    "name": "moons",
    "tasks": ["two_moons"],
    "n_trials": 10_000,
    "sampler": {"name": "recurrence", "population_size": N_MEMBERS},
    "space": {"name": "language_model", "dropout": []},
    "trainer": {"steps": 300},
    "objective": {"name": "segment", "reports": 1},
}
PROCESSES = multiprocessing.get_context("forkserver")
Worker = multiprocessing.process.BaseProcess


def work(url: str, n_more: int | None) -> None:
    """Do what `optuna_evo study run moons` does, but for the start and the printing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run_study(load_study("moons", open_storage(url)), device="cpu", n_more=n_more)


def start(folder: Path, n_more: int | None = None) -> Worker:
    worker = PROCESSES.Process(target=work, args=(url_of(folder), n_more))
    worker.start()
    return worker


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna_evo.db'}"


def trials(folder: Path) -> list[FrozenTrial]:
    return load_study("moons", open_storage(url_of(folder))).study.get_trials()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def n_complete(folder: Path) -> int:
    return sum(trial.state == TrialState.COMPLETE for trial in trials(folder))


def trains(folder: Path, worker: Worker) -> bool:
    """Tell whether the worker has begun a segment: its origin is written down then."""
    assert worker.exitcode is None, "it ended before it could be killed"
    return any(
        trial.state == TrialState.RUNNING
        and WORKER.read(trial.user_attrs, "").endswith(f":{worker.pid}")
        and PARENT.is_in(trial.user_attrs)
        for trial in trials(folder)
    )


def n_files(folder: Path) -> int:
    return sum(1 for path in (folder / "optuna_evo.checkpoints").glob("*/*") if path.is_file())


@pytest.mark.slow
def test_segments_end_exactly_once_whoever_is_killed(tmp_path: Path) -> None:
    PROCESSES.set_forkserver_preload([__name__, "torch", "optuna_evo.search._lineage"])
    create_study(StudySpec.from_dict(SPEC), open_storage(url_of(tmp_path)))
    rng = random.Random(0)
    workers = [start(tmp_path) for _ in range(N_WORKERS)]
    try:
        for nth in range(N_KILLS):
            wait_until(lambda n=nth: n_complete(tmp_path) > n)  # type: ignore[misc]
            victim = workers.pop(rng.randrange(N_WORKERS))
            wait_until(lambda v=victim: trains(tmp_path, v))  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.5))
            victim.kill()
            victim.join()
            assert n_files(tmp_path) <= N_MEMBERS + N_WORKERS
            workers.append(start(tmp_path))
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
    # what was given back is done first
    last = start(tmp_path, 2 * N_MEMBERS)
    last.join()
    assert last.exitcode == 0
    check(trials(tmp_path))
    assert n_files(tmp_path) <= N_MEMBERS


def check(found: list[FrozenTrial]) -> None:
    states = Counter(trial.state for trial in found)
    assert states[TrialState.FAIL] >= N_KILLS and states[TrialState.RUNNING] == 0
    assert states[TrialState.WAITING] == 0 and states[TrialState.COMPLETE] > N_KILLS
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    turns = Counter(
        (slot["member"], slot["turn"])
        for trial in complete
        if (slot := trial.system_attrs["RecurrenceSampler:segment"])
    )
    assert set(turns.values()) == {1}
    for member in range(N_MEMBERS):
        own = sorted(turn for m, turn in turns if m == member)
        assert own == list(range(len(own)))
    check_parents(complete, found)

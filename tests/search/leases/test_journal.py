"""Workers on a journal, which has no transactions to join: nothing is lost there either."""

import os
from pathlib import Path
import random
import signal
import time

from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from tests.search.leases.test_processes import crew
from tests.search.leases.test_processes import ENDLESS
from tests.search.leases.test_processes import finish
from tests.search.leases.test_processes import n_begun
from tests.search.leases.test_processes import wait_until
from tests.search.leases.workers import check
from tests.search.leases.workers import has_begun
from tests.search.leases.workers import make_study
from tests.search.leases.workers import read_trials
from tests.search.leases.workers import SIZE
from tests.search.leases.workers import start
from tests.search.leases.workers import trained


pytestmark = pytest.mark.slow
N_WORKERS = 2


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"journal://{tmp_path / 'a.log'}"


def n_complete(trials: list[FrozenTrial]) -> int:
    return sum(trial.state == TrialState.COMPLETE for trial in trials)


def test_two_workers_never_share_a_place(url: str, tmp_path: Path) -> None:
    make_study(url)
    log, n_trials = tmp_path / "log", 12 * SIZE
    workers = [start(url, log, "ga", n_trials, seconds=0.01) for _ in range(N_WORKERS)]
    with crew(workers):
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0] * N_WORKERS
    trials = read_trials(url)
    # nobody counts for all: each may have one more on its way
    n_found = n_complete(trials)
    assert n_trials <= n_found < n_trials + N_WORKERS
    check(trials, n_found)
    assert set(trained(log).values()) == {1}


def test_killed_workers_lose_nothing(url: str, tmp_path: Path) -> None:
    log, rng, n_kills = tmp_path / "log", random.Random(0), 20
    make_study(url)
    workers = [start(url, log, "ga", ENDLESS, seconds=0.02) for _ in range(N_WORKERS)]
    with crew(workers):
        for _ in range(n_kills):
            victim = workers.pop(rng.randrange(N_WORKERS))
            wait_until(lambda v=victim: has_begun(log, v))  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.3))
            assert victim.exitcode is None
            victim.kill()
            victim.join()
            workers.append(start(url, log, "ga", ENDLESS, seconds=0.02))
    alive = sum(t.state != TrialState.FAIL for t in read_trials(url))
    n_trials = -(-(alive + 1) // SIZE) * SIZE
    finish(url, log, n_trials)
    # two that find a dead worker at once may both make a copy, of which the first one counts
    check(read_trials(url), n_trials, n_kills=n_kills + N_WORKERS, is_journal=True)
    assert set(trained(log).values()) == {1}


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
        workers.append(start(url, log, "ga", 2 * SIZE, **options))
        wait_until(lambda: any(t.state == TrialState.FAIL for t in read_trials(url)))
        os.kill(first.pid, signal.SIGCONT)
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    trials = read_trials(url)
    check(trials, n_complete(trials), n_kills=1, is_journal=True)
    assert set(trained(log).values()) == {1}

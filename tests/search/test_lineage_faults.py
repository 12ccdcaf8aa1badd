"""Checkpoints in trouble: killed in a write, files that cannot be used. No lineage is broken."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import errno
import os
from pathlib import Path
import random
import signal
from typing import Any
import uuid

import pytest

from optuna_evo import files
from optuna_evo.errors import StorageError
from optuna_evo.search import _checkpoints
from optuna_evo.search import AtomicFileSystemStore
from tests.search.lineages import check
from tests.search.lineages import DEATHS
from tests.search.lineages import ends
from tests.search.lineages import make
from tests.search.lineages import n_files
from tests.search.lineages import run
from tests.search.lineages import start
from tests.search.lineages import trials
from tests.search.lineages import Worker
from tests.servers import PostgreSQL


N_KILLS = int(os.environ.get("OPTUNA_EVO_KILLS", "50"))
N_TRIALS, N_MEMBERS = 8, 2


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    server: PostgreSQL = request.getfixturevalue("server")
    return server.new_database(f"t{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], dict[Any, list[Any]]]:
    """What an undisturbed run ends with."""
    folder = tmp_path_factory.mktemp("whole")
    url = f"sqlite:///{folder / 'a.db'}"
    make(url, n_trials=N_TRIALS, n_members=N_MEMBERS)
    run(url, folder / "c")
    check(trials(url), 0)
    return ends(url, folder / "c")


@pytest.mark.slow
@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_killed_at_each_write_of_a_checkpoint_ends_as_one_that_is_not(
    death: str, tmp_path: Path, whole: Any
) -> None:
    url, folder = f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "c"
    make(url, n_trials=N_TRIALS, n_members=N_MEMBERS)
    n_kills = 0
    while True:
        worker = start(url, folder, death, 2)  # its first write succeeds: it gets on
        worker.join()
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
        n_kills += 1
        assert n_kills <= N_TRIALS
        assert n_files(folder) <= N_MEMBERS + 3  # a half of one, and one not yet removed
    assert n_kills >= N_TRIALS // 2 - 1
    n_told = n_kills if death == "when the trial is told" else 0
    check(trials(url), n_kills - n_told)
    assert ends(url, folder) == whole


@pytest.mark.slow
def test_workers_killed_in_the_midst_of_writes_break_no_lineage(url: str, tmp_path: Path) -> None:
    folder, rng = tmp_path / "c", random.Random(0)
    n_workers = 4
    make(url, n_trials=100_000, n_members=N_MEMBERS * 3)

    def hire() -> Worker:
        return start(url, folder, rng.choice([*DEATHS]), rng.randint(1, 3))

    workers = [hire() for _ in range(n_workers)]
    for _ in range(N_KILLS - n_workers):
        dead = next_dead(workers)
        assert dead.exitcode == -signal.SIGKILL
        workers.remove(dead)
        workers.append(hire())
    for worker in workers:
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
    run(url, folder, n_more=3 * N_MEMBERS)
    found = trials(url)
    n_lost = sum("retry_history" in trial.system_attrs for trial in found)
    assert N_KILLS // 2 < n_lost <= N_KILLS
    check(found, n_lost)
    ends(url, folder)


def next_dead(workers: list[Worker]) -> Worker:
    import multiprocessing.connection

    (sentinel, *_) = multiprocessing.connection.wait([worker.sentinel for worker in workers], 300)
    return next(worker for worker in workers if worker.sentinel == sentinel)


# --- the n-th call that uses a file fails --------------------------------------------------------


class Disk:
    """Counts what is done with files; the n-th call fails, before it is done or after."""

    def __init__(self, nth: int | None = None, *, after: bool = False) -> None:
        self.n, self.nth, self.after = 0, nth, after

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.n += 1
        fails = self.n == self.nth
        if not (fails and not self.after):
            result = function(*args, **options)
        if fails:
            if self.after:  # nobody will close what it has opened
                os.close(result) if type(result) is int else getattr(result, "close", bool)()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return result


class Watched:
    """A module some functions of which are counted."""

    def __init__(self, module: Any, disk: Disk, *names: str) -> None:
        self.__dict__.update({name: getattr(module, name) for name in dir(module)})
        for name in names:
            setattr(self, name, counted(disk, getattr(module, name)))


def counted(disk: Disk, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: disk.call(function, *args, **options)


@contextlib.contextmanager
def watched(disk: Disk) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", Watched(os, disk, "open", "replace", "fsync", "chmod"))
        for name, functions in (("tempfile", ["TemporaryFile"]), ("shutil", ["copyfileobj"])):
            module = Watched(getattr(_checkpoints, name), disk, *functions)
            patch.setattr(_checkpoints, name, module)
        for name in ("open_reader", "remove"):
            patch.setattr(
                AtomicFileSystemStore, name, counted(disk, getattr(AtomicFileSystemStore, name))
            )
        yield


@pytest.mark.parametrize(
    ("every", "after"),
    [
        pytest.param(37, False, id="few"),
        pytest.param(1, False, id="before", marks=pytest.mark.slow),
        pytest.param(1, True, id="after", marks=pytest.mark.slow),
    ],
)
def test_whichever_call_that_uses_a_file_fails_the_same_command_ends_as_if_it_had_not(
    every: int, after: bool, tmp_path: Path, whole: Any
) -> None:
    disk = Disk()
    make(f"sqlite:///{tmp_path / 'whole.db'}", n_trials=N_TRIALS, n_members=N_MEMBERS)
    with watched(disk):
        run(f"sqlite:///{tmp_path / 'whole.db'}", tmp_path / "whole")
    assert disk.n > 60
    for nth in range(min(5, every), disk.n + 1, every):
        url, folder = f"sqlite:///{tmp_path / str(nth)}.db", tmp_path / str(nth)
        make(url, n_trials=N_TRIALS, n_members=N_MEMBERS)
        with watched(Disk(nth, after=after)), contextlib.suppress(StorageError):
            run(url, folder)
        run(url, folder)
        found = trials(url)
        check(found, sum("retry_history" in trial.system_attrs for trial in found))
        assert ends(url, folder) == whole, nth

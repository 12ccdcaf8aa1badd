"""Runs during which the database goes away or the disk is full: they end, and nothing is lost."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import subprocess
import tempfile
import time
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.errors import DiskFullError
from optuna_evo.search import open_storage
from optuna_evo.study import checkpoints_of
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from tests.cli.test_cli import command
from tests.cli.test_cli import run
from tests.servers import PostgreSQL
from tests.study.test_copying import segment_spec


pytestmark = pytest.mark.slow

FUNCTION = """
import random
import string
import time

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    y = trial.suggest_float("y", -1, 1)
    for step in range(3):
        time.sleep({pause})
        trial.report(x * x + y * y + step, step)
    # what databases do not make smaller
    trial.set_user_attr("note", "".join(random.Random(0).choices(string.ascii_letters, k={size})))
    return x * x + y * y
"""
GA = ("--sampler", "ga", "--pruner", "none")
N_RESTARTS, N_WORKERS = 10, 3


def results(url: str, name: str) -> list[tuple[dict[str, Any], float | None]]:
    storage = open_storage(url)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    storage.close()
    assert all(t.state in (TrialState.COMPLETE, TrialState.FAIL) for t in trials)
    return sorted(
        [(t.params, t.value) for t in trials if t.state == TrialState.COMPLETE],
        key=lambda pair: str(pair[0]),
    )


def test_a_server_that_restarts_ten_times_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(FUNCTION.format(pause=0.2, size=10))
    target = ("study", "run", "f.py:objective", *GA, "--trials", "100")
    with PostgreSQL(tmp_path / "server") as server:
        url = server.new_database("studies")
        run(tmp_path, *target[:-1], "1", "--storage", url)
        options = command(tmp_path, *target, "--storage", url)
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        workers = [subprocess.Popen(**options, **pipes, text=True) for _ in range(N_WORKERS)]
        storage = open_storage(url)
        study = optuna.load_study(study_name="f/objective", storage=storage)
        while len(study.get_trials()) < 2 * N_WORKERS and workers[0].poll() is None:
            time.sleep(0.5)
        n_restarts = 0
        while n_restarts < N_RESTARTS and any(worker.poll() is None for worker in workers):
            time.sleep(1)
            server.stop()
            time.sleep(0.5 + n_restarts % 3)
            server.start()
            n_restarts += 1
        said = [worker.communicate()[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * N_WORKERS, said
        assert n_restarts == N_RESTARTS
        assert any("The database is away" in text for text in said)
        trials = study.get_trials()
        storage.close()
    assert {t.state for t in trials} == {TrialState.COMPLETE}  # none failed, none hangs
    assert 100 <= len(trials) < 100 + N_WORKERS
    assert [t.number for t in trials] == list(range(len(trials)))
    assert len({str(t.params) for t in trials}) == len(trials)
    assert all(t.value == t.params["x"] ** 2 + t.params["y"] ** 2 for t in trials)
    assert all({*t.intermediate_values} == {0, 1, 2} for t in trials)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, 8):
        yield folder


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Leave little space on a disk; return the file that takes the rest."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    ballast = disk / "ballast"
    ballast.write_bytes(b"0" * max(0, free - leave))
    return ballast


@pytest.mark.parametrize("leave", [0, 40_000, 200_000])
def test_a_full_disk_below_sqlite_is_said_and_the_run_goes_on_when_there_is_space(
    small_disk: Path, tmp_path: Path, leave: int
) -> None:
    (tmp_path / "f.py").write_text(FUNCTION.format(pause=0, size=20_000))
    target = ("study", "run", "f.py:objective", *GA, "--trials")
    url = f"sqlite:///{small_disk / 'a.db'}"
    run(tmp_path, *target, "5", "--storage", url)
    ballast = fill(small_disk, leave)
    options = command(tmp_path, *target, "40", "--storage", url)
    failed = subprocess.run(**options, capture_output=True, text=True)
    assert failed.returncode == 1, failed
    *_, said = failed.stderr.splitlines()  # before it there may be lines of progress
    assert said.startswith("Error: ") and failed.stderr.count("Error: ") == 1, failed.stderr
    assert "full" in said and "max length" not in said
    run(tmp_path, "study", "show", "f/objective", "--storage", url)
    ballast.unlink()
    run(tmp_path, *target, "40", "--storage", url)
    undisturbed = f"sqlite:///{tmp_path / 'b.db'}"
    run(tmp_path, *target, "40", "--storage", undisturbed)
    assert results(url, "f/objective") == results(undisturbed, "f/objective")


def test_a_full_disk_below_postgres_is_said_and_the_run_goes_on_when_there_is_space(
    tmp_path: Path,
) -> None:
    (tmp_path / "f.py").write_text(FUNCTION.format(pause=0, size=100_000))
    target = ("study", "run", "f.py:objective", *GA, "--trials")
    # the server's user cannot enter pytest's folders
    with (
        tempfile.TemporaryDirectory(prefix="disk-", ignore_cleanup_errors=True) as name,
        mounted(disk := Path(name), 150),
    ):
        with PostgreSQL(tmp_path, disk=disk) as server:
            url = server.new_database("studies")
            run(tmp_path, *target, "5", "--storage", url)
            ballast = fill(disk, 1_000_000)
            options = command(tmp_path, *target, "150", "--storage", url)
            options["env"]["OPTUNA_EVO_PATIENCE"] = "10"
            failed = subprocess.run(**options, capture_output=True, text=True)
            assert failed.returncode == 1, failed
            *warned, said = failed.stderr.splitlines()
            assert said.startswith("Error: ") and not any("Error: " in line for line in warned)
            # the server itself dies where its log finds no space
            assert "is full" in said or "is away" in said, failed.stderr
            ballast.unlink()
            server.start()
            run(tmp_path, *target, "150", "--storage", url)
            undisturbed = f"sqlite:///{tmp_path / 'b.db'}"
            run(tmp_path, *target, "150", "--storage", undisturbed)
            assert results(url, "f/objective") == results(undisturbed, "f/objective")


def test_a_checkpoint_that_finds_no_space_is_said_and_leaves_the_older_ones(
    small_disk: Path, tmp_path: Path
) -> None:
    stored = create_study(segment_spec(), open_storage(f"sqlite:///{tmp_path / 'a.db'}"))
    run_study(stored, n_more=3, device="cpu", checkpoints=str(small_disk))
    before = sorted(path.name for path in small_disk.rglob("*.pt*"))
    store = checkpoints_of(stored, str(small_disk))
    checkpoint = store.load(0)
    fill(small_disk, 0)
    with pytest.raises(DiskFullError, match="No space left for checkpoints .*: make room") as told:
        store.save(9, checkpoint)
    assert "\n" not in str(told.value)
    assert sorted(path.name for path in small_disk.rglob("*.pt*")) == before
    (small_disk / "ballast").unlink()
    store.save(9, checkpoint)
    assert store.load(9).step == checkpoint.step

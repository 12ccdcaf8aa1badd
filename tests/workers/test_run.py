"""`study run --workers N`: real workers, each a process with the whole package."""

from collections import Counter
from collections.abc import Iterator
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import WORKER
from optuna_evo.reports import generation_of
from tests.cli.test_cli import call
from tests.cli.test_cli import command


FUNCTION = """
import os, sys, time

def objective(trial):
    print("hello from", trial.number)
    return trial.suggest_float("x", 0, 1) + float(os.environ.get("SECONDS_MORE", 0)) * 0

def slow(trial):
    x = trial.suggest_float("x", 0, 1)
    time.sleep(0.2)
    return x

def gpus(trial):
    trial.set_user_attr("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
    trial.set_user_attr("threads", os.environ["OMP_NUM_THREADS"])
    time.sleep(0.5)
    return trial.suggest_float("x", 0, 1)

def crashing(trial):
    x = trial.suggest_float("x", 0, 1)
    marker = f"crashed{trial.suggest_int('k', 0, 2)}"
    if not os.path.exists(marker):
        open(marker, "w").close()
        print("about to crash", file=sys.stderr, flush=True)
        os.abort()
    return x

def failing(trial):
    trial.suggest_float("x", 0, 1)
    raise ValueError(f"row {trial.number} is missing")
"""
GA = ("--sampler", "ga", "--set", "sampler.population_size=8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "f.py").write_text(FUNCTION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    yield tmp_path


def study_run(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    options = command(folder, "study", "run", *args)
    options["env"] |= env
    return subprocess.run(**options, capture_output=True, text=True, timeout=600)


def start(folder: Path, *args: str) -> "subprocess.Popen[str]":
    options = command(folder, "study", "run", *args)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(**options, **pipes, text=True)  # type: ignore[call-overload, no-any-return]


def trials(name: str = "f/objective") -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage="sqlite:///optuna_evo.db").get_trials()


def complete(name: str) -> list[FrozenTrial]:
    return [t for t in trials(name) if t.state == TrialState.COMPLETE]


def wait_for(name: str, n: int) -> None:
    deadline = time.monotonic() + 300
    while True:
        assert time.monotonic() < deadline
        try:
            if len(complete(name)) >= n:
                return
        except Exception:  # the database is being made
            pass
        time.sleep(0.05)


def wait_for_workers(folder: Path, n: int) -> None:
    deadline = time.monotonic() + 300
    log = folder / "log"
    while not log.exists() or len(pids(log)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(path: Path) -> list[dict[str, Any]]:
    # a line that is being written ends without its end
    return [
        json.loads(line)
        for line in path.read_text().splitlines(keepends=True)
        if line[-1:] == "\n"
    ]


def pids(path: Path) -> dict[int, int]:
    """Return the last process of each worker."""
    return {e["worker"]: e["pid"] for e in events(path) if e["event"] == "worker_started"}


def test_two_workers_share_a_function_and_what_happens_is_logged(folder: Path) -> None:
    done = study_run(
        folder, "f.py:objective", *GA, "--trials", "16", "--workers", "2", "--log-json", "log"
    )
    assert done.returncode == 0, done.stderr
    assert "f/objective (minimize): 16 complete" in done.stdout
    # each trial's line once, with a worker's number; one of them may have been too late for any
    said = re.findall(r"^worker [01]: hello from (\d+)$", done.stderr, re.MULTILINE)
    assert "hello" not in done.stdout and sorted(map(int, said)) == list(range(16))
    found = events(folder / "log")
    counts = Counter(event["event"] for event in found)
    assert counts["worker_started"] == counts["worker_stopped"] == 2
    ended = {event["trial"] for event in found if event["event"] == "finished"}
    assert ended == {trial.number for trial in complete("f/objective")}
    assert {event["study"] for event in found} == {"f/objective"}
    assert all(event["time"].endswith("+00:00") for event in found)
    reasons = [event["reason"] for event in found if event["event"] == "worker_stopped"]
    assert reasons == ["done"] * 2


def test_one_worker_logs_to_standard_error(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    args = ("study", "run", "f.py:failing", "--trials", "4", "--log-json", "-")
    code, _, err = call(capsys, *args)
    assert code == 1
    *lines, last = err.splitlines()
    found = [json.loads(line) for line in lines]
    assert last.startswith("Error: 3 trials in a row failed")
    failed = [event for event in found if event["event"] == "failed"]
    assert [event["trial"] for event in failed] == [0, 1, 2]
    assert "ValueError: row 0 is missing" in failed[0]["error"]
    assert (found[-1]["reason"], found[-1]["restart"]) == ("error", False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--storage", "sqlite://", "--workers", "2"), "in memory is seen by one process"),
        (("--gpus-per-worker", "0.5"), "--gpus-per-worker goes with --workers"),
        (("--ray-address", "auto"), "--ray-address goes with --executor ray"),
        (("--track", "nothing"), "no tracker 'nothing'"),
        (("--workers", "2", "--track", "nothing"), "no tracker 'nothing'"),
        (("--workers", "2", "--device", "cuda:1"), "leave out --device cuda:1"),
        (
            (
                "--workers",
                "0",
            ),
            "not in the range",
        ),
        (("--log-json", "no/folder"), "Cannot write to no/folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, _, err = call(capsys, "study", "run", "f.py:objective", "--trials", "1", *options)
    assert code == 2 and said in err
    assert "Traceback" not in err


def test_status_is_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study(study_name="x", storage="sqlite:///optuna_evo.db")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    code, _, err = call(capsys, "study", "status", "x")
    assert code == 2 and "was not made by optuna_evo" in err


@pytest.mark.slow
def test_workers_get_gpus_and_threads_and_only_as_many_trials_as_asked_for(folder: Path) -> None:
    args = ("f.py:gpus", *GA, "--trials", "40", "--workers", "1")
    assert study_run(folder, *args, "--timeout", "0.1s").returncode == 0
    env = {"CUDA_VISIBLE_DEVICES": "5,7", "OMP_NUM_THREADS": ""}
    more = ("--trials", "8", "--workers", "4", "--gpus-per-worker", "0.5")
    done = study_run(folder, "f/gpus", *more, **env)
    assert done.returncode == 0, done.stderr
    found = complete("f/gpus")
    assert "trials are left." in done.stdout
    assert "  optuna_evo study run f/gpus" in done.stdout
    assert {t.user_attrs["gpus"] for t in found if "gpus" in t.user_attrs} >= {"5", "7"}
    assert {t.user_attrs["threads"] for t in found[-8:]} == {str(max(1, os.cpu_count() // 4))}  # type: ignore[operator]
    assert 8 <= len(found) <= 8 + 4 + 1  # each may have one on its way, and the first run's


@pytest.mark.slow
def test_a_worker_that_crashes_starts_again_and_its_trial_is_run(folder: Path) -> None:
    done = study_run(
        folder, "f.py:crashing", *GA, "--trials", "16", "--workers", "2", "--log-json", "log"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("crashed (SIGABRT)") == 3
    assert "about to crash" in done.stderr and "Fatal Python error: Aborted" in done.stderr
    crashed = [e for e in events(folder / "log") if e["event"] == "worker_crashed"]
    assert len(crashed) == 3 and any("Aborted" in line for line in crashed[0]["lines"])
    found = trials("f/crashing")
    assert not [t for t in found if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert len(complete("f/crashing")) >= 16
    # each of the dead is run again with what it had
    dead = [t for t in found if t.state == TrialState.FAIL]
    assert len(dead) == 3
    for trial in dead:
        assert [t for t in complete("f/crashing") if t.params == trial.params]


@pytest.mark.slow
def test_a_function_that_always_fails_ends_all_workers_with_its_error(folder: Path) -> None:
    done = study_run(folder, "f.py:failing", "--trials", "30", "--workers", "2")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: 30 trials are left, and 2 of 2 workers ended for good.")
    assert "is missing" in last and "crashed" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_gives_the_trials_back_and_the_same_command_ends_the_study(
    folder: Path, number: signal.Signals
) -> None:
    args = ("f.py:slow", *GA, "--trials", "150", "--workers", "3", "--log-json", "log")
    process = start(folder, *args)
    wait_for_workers(folder, 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert "Stopping: each worker gives its trial back" in err
    assert not [t for t in trials("f/slow") if t.state == TrialState.RUNNING]
    done = study_run(folder, *args)
    assert done.returncode == 0, done.stderr
    assert len(complete("f/slow")) >= 150


@pytest.mark.slow
def test_workers_end_when_whoever_started_them_is_killed(folder: Path) -> None:
    process = start(folder, "f.py:slow", "--trials", "500", "--workers", "2", "--log-json", "log")
    wait_for_workers(folder, 2)
    workers = pids(folder / "log")
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(map(is_alive, workers.values())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not [t for t in trials("f/slow") if t.state == TrialState.RUNNING]


@pytest.mark.slow
def test_four_workers_share_one_population_through_kills(folder: Path) -> None:
    process = start(
        folder, "f.py:slow", *GA, "--trials", "200", "--workers", "4", "--log-json", "log"
    )
    wait_for_workers(folder, 4)
    for number in (0, 1, 2):
        wait_for("f/slow", len(complete("f/slow")) + 8)
        os.kill(pids(folder / "log")[number], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert err.count("crashed (SIGKILL)") == 3
    found = complete("f/slow")
    assert 200 <= len(found) <= 200 + 4
    # nobody's child twice, but for what was run again
    first = [t for t in found if "failed_trial" not in t.system_attrs]
    assert len({str(t.params) for t in first}) == len(first)
    sizes = Counter(generation_of(t) for t in found)
    assert all(abs(sizes[g] - 8) <= 4 for g in range(len(sizes) - 1)), sizes
    assert len({WORKER.read(t.user_attrs) for t in found}) == 4 + 3


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie, which init has yet to collect, is dead
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()

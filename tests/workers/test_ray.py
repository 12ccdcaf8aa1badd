"""`--executor ray`: workers in a Ray cluster of this machine."""

from collections import Counter
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

from optuna.trial import TrialState
import pytest

from tests.cli.test_cli import call
from tests.workers.test_run import complete
from tests.workers.test_run import events
from tests.workers.test_run import folder
from tests.workers.test_run import GA
from tests.workers.test_run import start
from tests.workers.test_run import trials
from tests.workers.test_run import wait_for
from tests.workers.test_run import wait_for_workers


__all__ = ["folder"]


def test_without_ray_the_executor_says_how_to_install_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "ray", None)
    args = ("study", "run", "f.py:objective", "--trials", "1", "--executor", "ray")
    code, _, err = call(capsys, *args)
    assert code == 2 and err.endswith("pip install 'optuna-evo[ray]'.\n")


def test_a_cluster_that_is_not_there_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(sys, "path", list(sys.path))
    args = ("f.py:objective", "--trials", "1", "--executor", "ray", "--ray-address", "nonsense")
    code, _, err = call(capsys, "study", "run", *args)
    assert code == 2 and err.startswith("Error: There is no Ray cluster at nonsense")


def ray_processes(name: str, parent: int) -> list[int]:
    """Return the processes of Ray of this name below one of ours."""
    import psutil

    below = psutil.Process(parent).children(recursive=True)
    return [p.pid for p in below if name in " ".join(p.cmdline())]


@pytest.mark.slow
def test_two_ray_workers_share_a_study_and_one_that_is_killed_starts_again(folder: Path) -> None:
    pytest.importorskip("ray")
    args = ("f.py:slow", *GA, "--trials", "120", "--workers", "2", "--log-json", "log")
    process = start(folder, *args, "--executor", "ray")
    try:
        wait_for_workers(folder, 2)
        actors = ray_processes("ray::_Place", process.pid)
        assert len(actors) == 2
        os.kill(actors[0], signal.SIGKILL)
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "f/slow (minimize)" in out
    assert err.count("crashed (SIGKILL)") == 1
    found = complete("f/slow")
    assert 120 <= len(found) <= 120 + 2
    assert not [t for t in trials("f/slow") if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert len({str(t.params) for t in found}) == len(found)
    counts = Counter(event["event"] for event in events(folder / "log"))
    assert counts["worker_started"] == 3 and counts["worker_crashed"] == 1
    # the process of the killed actor gave its trial back: it was run again with what it had
    for dead in (t for t in trials("f/slow") if t.state == TrialState.FAIL and t.params):
        assert [t for t in found if t.params == dead.params]


@pytest.mark.slow
def test_ctrl_c_ends_ray_workers_politely(folder: Path) -> None:
    pytest.importorskip("ray")
    process: subprocess.Popen[Any] = start(
        folder, "f.py:slow", "--trials", "500", "--workers", "2", "--executor", "ray"
    )
    wait_for("f/slow", 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert not [t for t in trials("f/slow") if t.state == TrialState.RUNNING]

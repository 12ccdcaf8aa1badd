"""optuna-dashboard opens our studies: asked as a server, and looked at in a browser."""

from collections.abc import Iterator
import contextlib
import json
from pathlib import Path
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from optuna_evo.search import open_storage
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import show_in_dashboard
from tests.study.test_study import small_spec


CHROMIUM = next((p for n in ("chromium", "chromium-browser") if (p := shutil.which(n))), None)


@contextlib.contextmanager
def dashboard_of(folder: Path) -> Iterator[str]:
    """Run our command on a small finished study and yield the address of its page."""
    url = f"sqlite:///{folder / 'a.db'}"
    stored = create_study(small_spec(), open_storage(url))
    run_study(stored, device="cpu")
    show_in_dashboard(stored)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "optuna_evo.cli", "dashboard", "--storage", url]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, "--port", str(port)], **quiet)  # type: ignore[call-overload]
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/studies", timeout=5).close()
                break
            assert server.poll() is None and time.monotonic() < deadline, "no dashboard"
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def test_the_dashboard_serves_the_study_with_its_trials_and_figure(tmp_path: Path) -> None:
    with dashboard_of(tmp_path) as address:
        with urllib.request.urlopen(f"{address}/api/studies") as answer:
            (summary,) = json.load(answer)["study_summaries"]
        with urllib.request.urlopen(f"{address}/api/studies/{summary['study_id']}") as answer:
            study = json.load(answer)
    assert summary["study_name"] == "small"
    assert [trial["state"] for trial in study["trials"]] == ["Complete"] * 6
    assert {"accuracies", "accuracy_two_moons"} <= {
        a["key"] for a in study["trials"][0]["user_attrs"]
    }
    assert len(study["plotly_graph_objects"]) == 1
    assert "w ← w" in study["note"]["body"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_shows_the_study(tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    with dashboard_of(tmp_path) as address:
        options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        options += "--disable-background-networking --disable-component-update --disable-sync"
        command = [str(CHROMIUM), *options.split(), f"--user-data-dir={tmp_path / 'profile'}"]
        command += ["--window-size=1400,1800", "--virtual-time-budget=20000"]
        page = f"{address}/dashboard/studies/1"
        shot = [*command, f"--screenshot={picture}", page]
        subprocess.run(shot, check=True, capture_output=True, timeout=120)
        dom = subprocess.run([*command, "--dump-dom", page], capture_output=True, timeout=120)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert b"small" in dom.stdout and b"Best Trial" in dom.stdout

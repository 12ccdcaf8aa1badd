"""optuna-dashboard opens our studies: asked as a server, and looked at in a browser."""

from collections.abc import Iterator
import contextlib
import html
import json
from pathlib import Path
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from optuna_evo.reports import write_report
from optuna_evo.search import open_storage
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import show_in_dashboard
from optuna_evo.study import study_report
from tests.study.test_study import small_spec


CHROMIUM = next((p for n in ("chromium", "chromium-browser") if (p := shutil.which(n))), None)


@contextlib.contextmanager
def dashboard_of(folder: Path, name: str = "small") -> Iterator[str]:
    """Run our command on a small finished study and yield the address of its page."""
    url = f"sqlite:///{folder / 'a.db'}"
    stored = create_study(small_spec(name=name), open_storage(url))
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
    assert [f["id"] for f in study["plotly_graph_objects"]][0] == "tuning-course"
    assert len(study["plotly_graph_objects"]) == 4
    assert "w ← w" in study["note"]["body"]


def browse(address: str, folder: Path, *options: str) -> bytes:
    """Open a page in headless Chromium, wait until it is at rest, and return what that prints."""
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars"
    quiet += " --disable-background-networking --disable-component-update --disable-sync"
    command = [str(CHROMIUM), *quiet.split(), f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1500,2600", "--virtual-time-budget=30000", *options, address]
    done = subprocess.run(command, check=True, capture_output=True, timeout=180)
    return done.stdout


def dom_of(address: str, folder: Path) -> str:
    return browse(address, folder, "--dump-dom").decode("utf-8")


NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_a_browser_shows_the_equation_the_figures_and_the_artifacts(tmp_path: Path) -> None:
    with dashboard_of(tmp_path) as address:
        with urllib.request.urlopen(f"{address}/api/studies/1") as answer:
            study = json.load(answer)
        pages = f"{address}/dashboard/studies/1"
        history = dom_of(pages, tmp_path)
        note = dom_of(f"{pages}/note", tmp_path)
        best = study["best_trials"][0]
        trial = dom_of(f"{pages}/trials?numbers={best['number']}", tmp_path)
        picture = tmp_path / "page.png"
        browse(pages, tmp_path, f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    # figures are drawn, each with its title and without an error in its place
    assert "Best Trial" in history
    for title in ("Best value so far", "Population", "What the trials use"):
        assert re.search(rf"<text[^>]*>{title}", history), title
    equation = study["note"]["body"].split("```")[1].strip().splitlines()
    assert any(line.startswith("w ←") for line in equation)
    for line in equation:
        assert html.escape(line, quote=False) in note
    assert "What next" in note and "optuna_evo" in note
    # the trial: rule, tables, reason, picture within the note, both files
    rule = best["note"]["body"].split("```")[1].strip().splitlines()
    assert all(html.escape(line, quote=False) in trial for line in rule)
    assert "Why it was proposed" in trial and "<table" in trial
    number, trial_id = best["number"], best["trial_id"]
    assert f"trial_{number}.png" in trial and f"trial_{number}.csv" in trial
    assert re.search(rf'<img[^>]*src="[^"]*/artifacts/1/{trial_id}/', trial)
    assert f'alt="course of trial {number}"' in trial


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_a_browser_runs_nothing_that_stands_in_a_name(tmp_path: Path) -> None:
    attack = "<img src=x onerror=\"document.title='attacked'\"><script>document.title='x'</script>"
    with dashboard_of(tmp_path, name=attack) as address:
        for page in ("", "/note", "/trials?numbers=0"):
            dom = dom_of(f"{address}/dashboard/studies/1{page}", tmp_path)
            title = re.search(r"<title>(.*?)</title>", dom)
            assert title is None or "attacked" not in title[1] and title[1] != "x"
            assert '<img src="x"' not in dom and "<img src=x" not in dom


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_a_report_opens_as_a_file_with_all_its_pictures(tmp_path: Path) -> None:
    stored = create_study(small_spec(), open_storage(f"sqlite:///{tmp_path / 'a.db'}"))
    run_study(stored, device="cpu")
    (path,) = write_report(study_report(stored), tmp_path / "r.html")
    picture = tmp_path / "r.png"
    dom = dom_of(f"file://{path}", tmp_path)
    browse(f"file://{path}", tmp_path, f"--screenshot={picture}")
    assert dom.count("data:image/svg+xml;base64,") >= 4
    assert "w ← w" in dom and "How to repeat it" in dom
    from PIL import Image

    colours = Image.open(picture).convert("RGB").getcolors(2**24)
    assert colours is not None and len(colours) > 500  # pictures, not only text on white

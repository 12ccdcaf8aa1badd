"""The command line as its users meet it: in a process of its own where that matters."""

import contextlib
import json
import os
from pathlib import Path
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import WORKER
from optuna_evo.cli import cli
from optuna_evo.cli import main
from optuna_evo.reports import generation_of
from optuna_evo.rules import Genome
from optuna_evo.rules import program


SPEC = """
tasks = ["two_moons"]
n_trials = 8
sampler = { name = "ga", population_size = 4, n_generations = 2 }
trainer = { steps = 4 }
judge = { seeds = 2, tuning_trials = 1 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


def command(folder: Path, *args: str) -> dict[str, Any]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return {"args": [sys.executable, "-m", "optuna_evo.cli", *args], "cwd": folder, "env": env}


def run(folder: Path, *args: str) -> None:
    done = subprocess.run(**command(folder, *args), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def start(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(**command(folder, *args), **quiet)


def members(path: Path, name: str = "small") -> list[tuple[int, dict[str, Any], float | None]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(((generation_of(t) or 0, t.params, t.value) for t in trials), key=str)


def test_help_needs_neither_torch_nor_optuna(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom optuna_evo.cli import main\n"
        "try: main(['study', 'run', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'optuna', 'rich'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for group in (cli, cli.commands["study"]):
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            assert command.help, name
            assert name in readme, f"{name} is not in the README"


def test_one_command_creates_runs_shows_and_judges(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "study", "run", "small.toml")
    assert code == 0 and "8/8 done" in err.splitlines()[-1]
    for text in ("8 complete", "best: trial", "w ← w", "Population", "SGD with momentum", "tuned"):
        assert text in out
    again = call(capsys, "study", "run", "small.toml")
    assert again[0] == 0 and again[1] == out
    assert (folder / "optuna_evo.db").exists()
    assert call(capsys, "study", "report", "small", "--out", "a.png")[0] == 0
    assert {"a.png", "a_judged.png"} <= {path.name for path in folder.iterdir()}


def test_create_run_in_parts_list_show_export_delete(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ("--storage", "sqlite:///other.db")
    assert call(capsys, "study", "create", "mine", "small.toml", *storage)[0] == 0
    _, out, _ = call(capsys, "study", "run", "mine", "--trials", "3", "--no-judge", *storage)
    assert "3 complete" in out and "5 trials are left" in out
    assert "optuna_evo study run mine --storage sqlite:///other.db" in out
    assert "mine" in call(capsys, "study", "list", *storage)[1]
    assert "3 complete" in call(capsys, "study", "show", "mine", *storage)[1]
    exported = json.loads(call(capsys, "study", "export", "mine", *storage)[1])
    assert Genome.from_dict(exported).horizon == 4
    assert call(capsys, "study", "export", "mine", "-o", "rule.py", *storage)[0] == 0
    lines = program(Genome.from_dict(exported)).split("import torch")[1]
    assert lines in (folder / "rule.py").read_text(encoding="utf-8")
    assert call(capsys, "study", "delete", "mine", "--yes", *storage)[0] == 0
    assert "mine" not in call(capsys, "study", "list", *storage)[1]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["study", "run", "small.toml", "--trials", "-1"], 2, "-1 is not in the range x>=1"),
        (["study", "run", "small.toml", "--timeout", "soon"], 2, "'soon' is no duration"),
        (["study", "run", "nope.toml"], 2, "Cannot read the spec nope.toml"),
        (["study", "run", "small.toml", "--set", "stepz=3"], 2, "Unknown key 'stepz'"),
        (["study", "run", "small.toml", "--set", "trainer.steps=x"], 2, "must be of type int"),
        (["study", "run", "small.toml", "--device", "tpu"], 2, "Device 'tpu' cannot be used"),
        (["study", "run", "small.toml", "--storage", "nonsense"], 1, "no database URL"),
        (["study", "show", "nothing"], 1, "There is no database optuna_evo.db"),
        (["study", "frobnicate"], 2, "No such command 'frobnicate'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    message: str,
) -> None:
    got, _, err = call(capsys, *args)
    assert got == code
    assert message in err and "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("Error")] == err.splitlines()[-1:]
    if "--device" not in args:
        assert [path.name for path in folder.iterdir()] == ["small.toml"]


def test_missing_data_is_named_before_anything_is_trained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir()
    args = ("study", "run", "small.toml", "--set", 'tasks=["mnist"]', "--data-dir", "empty")
    code, _, err = call(capsys, *args)
    assert code == 1 and "MNIST" in err and "Traceback" not in err


def test_debug_shows_the_traceback(folder: Path) -> None:
    with pytest.raises(ValueError, match="Cannot read the spec"):
        main(["study", "run", "nope.toml", "--debug"])


def test_own_parts_lie_in_the_working_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "my_space_of_one.py").write_text(
        "from optuna_evo.spaces import genome_space\n"
        "def space(trial, *, horizon=None):\n"
        "    return genome_space(trial, horizon=horizon, max_terms=1)\n"
    )
    args = ("--set", "space.name=my_space_of_one:space", "--no-judge")
    assert call(capsys, "study", "run", "small.toml", *args)[0] == 0
    assert all("term_1" not in params for _, params, _ in members(folder / "optuna_evo.db"))


LONG = ("--set", "trainer.steps=150", "--no-judge")


def wait_for_trials(path: Path, n: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert running.poll() is None, "it ended before it could be stopped"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            with contextlib.suppress(sqlite3.OperationalError):  # the tables are being made
                if connection.execute("SELECT count(*) FROM trials").fetchone()[0] >= n:
                    return
        time.sleep(0.05)
    raise AssertionError("no trials came")


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_goes_on_to_the_trials_of_one_never_interrupted(
    folder: Path, end: signal.Signals
) -> None:
    run(folder, "study", "run", "small.toml", "--storage", "sqlite:///w.db", *LONG)
    broken = ("study", "run", "small.toml", "--storage", "sqlite:///k.db", *LONG)
    for n in (2, 6):
        worker = start(folder, *broken)
        wait_for_trials(folder / "k.db", n, worker)
        worker.send_signal(end)
        assert worker.wait() != 0
    run(folder, *broken)
    assert members(folder / "k.db") == members(folder / "w.db")


@pytest.mark.slow
def test_two_workers_share_a_study_and_train_no_member_twice(folder: Path) -> None:
    run(folder, "study", "create", "small", "small.toml", *LONG[:2])
    both = [start(folder, "study", "run", "small", "--no-judge") for _ in range(2)]
    assert [worker.wait() for worker in both] == [0, 0]
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{folder / 'optuna_evo.db'}")
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(trials) in (8, 9)  # both may take the last place at the same moment
    assert len({WORKER.read(t.user_attrs) for t in trials}) == 2
    assert len({str(t.params) for t in trials}) == len(trials)

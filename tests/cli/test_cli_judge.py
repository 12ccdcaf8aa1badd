"""`study judge` as its users meet it."""

from collections.abc import Iterator
import json
import os
from pathlib import Path
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo import catalog
from optuna_evo.cli import main
from optuna_evo.cli._completion import AGAINST
from optuna_evo.evaluation import BASELINES
from optuna_evo.rules import program


SPEC = """
tasks = ["two_moons"]
n_trials = 6
sampler = { name = "ga", population_size = 4, n_generations = 2 }
trainer = { steps = 4 }
judge = { seeds = 2, tuning_trials = 1 }
"""
SMALL = (
    *("--tasks", "two_moons+width=8", "--against", "adamw"),
    *("--budget", "2", "--seeds", "2", "--tunings", "1"),
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study that has been run."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "small.toml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("OPTUNA_EVO_STORAGE", raising=False)
        with pytest.raises(SystemExit):
            main(["study", "run", "small.toml", "--no-judge", "--set", "n_trials=6"])
        with pytest.raises(SystemExit):
            main(["study", "create", "empty", "small.toml"])
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for file in searched.glob("optuna_evo.db*"):  # and its log
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    yield tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


def names(folder: Path) -> set[str]:
    return set(optuna.get_all_study_names(f"sqlite:///{folder / 'optuna_evo.db'}"))


def test_a_study_is_judged_listed_copied_and_deleted_with_its_judgement(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "study", "judge", "small", *SMALL, "--out", "found.json")
    assert code == 0, err
    for text in (
        "Schedules granted to all; unseen tasks: two_moons+width=8",
        "Schedules granted to none; search tasks: two_moons",
        "all with the step sizes of tuned adamw",
        "Winner: number",
        "Valid, that is, reaches the targets on the unseen tasks:",
        "Better than adamw there:",
        "Cost in trainings of the search's length: search ",
    ):
        assert text in out
    found = json.loads((folder / "found.json").read_text())
    assert found["terms"]["budget"] == 2 and found["tables"]["grafted"]["lines"]["unseen"]
    _, listed, _ = call(capsys, "study", "list")
    assert (
        "small" in listed and "small/judge" not in listed and "trainings of judgements" in listed
    )
    assert "small/judge" in call(capsys, "study", "list", "--all")[1]

    assert call(capsys, "study", "copy", "small", "other")[0] == 0
    mine = {name for name in names(folder) if name.startswith("small/judge")}
    assert {name.replace("small", "other", 1) for name in mine} <= names(folder)
    before = len(names(folder))
    again = call(capsys, "study", "judge", "other", *SMALL)
    assert again[0] == 0 and len(names(folder)) == before  # nothing new was trained
    verdicts = [line for line in out.splitlines() if line.startswith(("Valid", "Better", "Cost"))]
    assert len(verdicts) == 3 and all(line in again[1].splitlines() for line in verdicts)
    assert call(capsys, "study", "delete", "small", "--yes")[0] == 0
    left = names(folder)
    assert not [name for name in left if name.startswith("small")]
    assert {name.replace("small", "other", 1) for name in mine} <= left


def test_an_exported_file_is_judged_in_place_of_what_was_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "lion.py").write_text(program(catalog["lion"]))
    code, out, err = call(
        capsys, "study", "judge", "small", *SMALL, "--optimizer", "lion.py", "--no-schedules"
    )
    assert code == 0, err
    assert "lion" in out and "Winner" not in out and "granted to all" not in out


def test_the_shell_completes_whom_to_judge_against() -> None:
    assert AGAINST == sorted(BASELINES)


def test_the_quick_judgement_is_still_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "study", "judge", "small", "--quick")
    assert code == 0 and "SGD with momentum" in out and "default" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["empty"], "has no complete trial yet: optuna_evo study run empty"),
        (["nobody"], "There is no study 'nobody'"),
        (["small", "--tasks", "nothing"], "A task must be one of"),
        (["small", "--tasks", "two_moons"], "so it is no unseen task"),
        (["small", "--against", "adamz"], "did you mean 'adam'"),
        (["small", "--against", ","], "at least one optimizer"),
        (["small", "--optimizer", "small.db.json"], "Cannot read"),
        (["small", "--predecessor", "muon"], "must be one of those that are judged against"),
        (["small", *SMALL, "--target", "0"], "Nobody reached the target of 0.0"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    code, out, err = call(capsys, "study", "judge", *args)
    assert code == 2 and message in err and not out
    assert len(err.splitlines()) == 1


def test_an_optimizer_that_is_not_installed_is_named_with_its_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    before = names(folder)
    code, _, err = call(capsys, "study", "judge", "small", "--against", "soap", "--top", "1")
    assert code == 2 and "pip install 'optuna-evo[judge]'" in err
    assert names(folder) == before


@pytest.mark.slow
def test_a_judgement_that_is_killed_goes_on_and_trains_nothing_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = (*SMALL[:4], "--budget", "9", "--seeds", "4", "--top", "2")
    shutil.copytree(folder, folder / "whole")
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "optuna_evo.cli", "study", "judge", "small", *terms],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None and complete(folder) < 40:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = complete(folder)
    assert 40 <= done
    assert call(capsys, "study", "judge", "small", *terms, "--out", "a.json")[0] == 0
    os.chdir(folder / "whole")
    assert call(capsys, "study", "judge", "small", *terms, "--out", "b.json")[0] == 0
    os.chdir(folder)
    assert complete(folder) == complete(folder / "whole") > done
    one, two = (json.loads(Path(p).read_text()) for p in ("a.json", "whole/b.json"))
    for table, other in zip(one["tables"].values(), two["tables"].values(), strict=True):
        assert [row["losses"] for row in table["rows"]] == [row["losses"] for row in other["rows"]]


def complete(folder: Path) -> int:
    """Return the complete trials of all studies."""
    with sqlite3.connect(f"file:{folder / 'optuna_evo.db'}?mode=ro", uri=True) as database:
        states = (TrialState.COMPLETE.name,)
        query = "SELECT COUNT(*) FROM trials WHERE state = ?"
        return int(database.execute(query, states).fetchone()[0])

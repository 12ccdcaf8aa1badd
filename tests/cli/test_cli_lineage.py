"""Studies of lineages on the command line: run, show the lineage, export, delete."""

import json
from pathlib import Path

import pytest
import torch

from optuna_evo import Schedule
from optuna_evo.spec import load_spec
from tests.cli.test_cli import call


SPEC = """
tasks = ["two_moons"]
n_trials = 7
sampler = { name = "recurrence", population_size = 3 }
space = { name = "language_model", dropout = [] }
trainer = { steps = 3 }
objective = { name = "segment", reports = 1 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "moons.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    for name in ("OPTUNA_EVO_STORAGE", "OPTUNA_EVO_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_run_lineage_export_delete(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "study", "run", "moons.toml", "--checkpoints", "kept")
    assert code == 0 and " done, best " in err.splitlines()[-1] and "7 complete" in out
    assert len(list(folder.glob("kept/moons-*/*.pt"))) == 3
    _, tree, _ = call(capsys, "study", "lineage", "moons", "--all")
    assert tree.count("trial ") == 1 + 7 and "lr " in tree
    export = ("study", "export", "moons", "--checkpoints", "kept")
    code, out, _ = call(capsys, *export, "--weights", "model", "--schedule", "schedule.json")
    assert code == 0 and "Wrote the model of trial" in out
    assert torch.load("model/model.pt", weights_only=True)
    schedule = Schedule.from_dict(json.loads(Path("schedule.json").read_text()))
    assert schedule.total_steps % 3 == 0 and schedule.lr(0) > 0
    long = ("--schedule", "long.json", "--steps", "500")
    assert "500 steps" in call(capsys, *export, *long)[1]
    assert Schedule.from_dict(json.loads(Path("long.json").read_text())).total_steps == 500
    code, _, err = call(capsys, *export, "--steps", "500")
    assert code == 2 and "--schedule FILE" in err
    code, _, err = call(capsys, *export, "--weights", "model")
    assert code == 2 and "model is there already and not an empty folder" in err
    assert call(capsys, "study", "delete", "moons", "--yes", "--checkpoints", "kept")[0] == 0
    assert not any((folder / "kept").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sampler.population_size=1", "`population_size` must be an integer of at least 2, got 1"),
        ("sampler.name=tpe", "Unknown key 'population_size' in [sampler]"),
        ("lineage.inherit=mother", "`lineage.inherit` must be one of parent, shared, none"),
    ],
)
def test_a_wrong_lineage_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    code, _, err = call(capsys, "study", "run", "moons.toml", "--set", change)
    assert code == 2 and message in err
    assert [path.name for path in folder.iterdir()] == ["moons.toml"]


def test_the_published_study_can_be_read() -> None:
    spec = load_spec(Path(__file__).parents[2] / "studies" / "aeon_gpt2.toml")
    assert spec.lineage.inherit == "parent" and spec.task["size"] == "tiny"

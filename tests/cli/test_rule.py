"""`optuna_evo optimizer show` of files and studies, and `optuna_evo optimizer simplify`."""

import json
from pathlib import Path

import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import optimizer_to_dict
from optuna_evo.rules import program
from tests.cli.test_optimizer import call


SPEC = """
name = "tiny"
tasks = ["two_moons"]
n_trials = 2
space = { name = "genome", max_terms = 1, term_types = ["SIGN_GRAD"], lr = [0.01, 0.02] }
sampler = { name = "random" }
trainer = { steps = 8, kind = "sequential" }
objective = { seeds = 1 }
judge = { seeds = 0 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rule = catalog["published_2025"]
    (tmp_path / "rule.json").write_text(json.dumps(rule.to_dict()))
    origin = "Found by optuna_evo, trial 3 of study 'mine'."
    (tmp_path / "rule.py").write_text(program(rule, name="Mine", origin=origin))
    edited = program(rule).replace("group[", "group [", 1)
    (tmp_path / "edited.py").write_text(edited)
    (tmp_path / "other.py").write_text("raise SystemExit('it was run')")
    other = optimizer_to_dict(NamedOptimizer.of("NAdam", lr=1e-3))
    (tmp_path / "torch.json").write_text(json.dumps(other))
    barnacle = Genome(terms=[("SIGN_GRAD", 2.0), ("GRAD", 1e-9)], lr=0.01, horizon=8)
    (tmp_path / "barnacle.json").write_text(json.dumps(barnacle.to_dict()))
    (tmp_path / "tiny.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_file_is_shown_with_its_equation_and_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rule = catalog["published_2025"]
    code, out, _ = call(capsys, "optimizer", "show", "rule.json")
    assert code == 0 and out.startswith(rule.equation())
    assert "m, v: 8 bytes a weight" in out and "500 steps" in out and rule.fingerprint() in out
    code, out, _ = call(capsys, "optimizer", "show", "rule.py")
    assert code == 0 and out.startswith(rule.equation())
    assert "Mine" in out and "trial 3 of study 'mine'" in out and "betas" in out


def test_a_study_is_shown_and_simplified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "study", "run", "tiny.toml", "--device", "cpu")[0] == 0
    code, out, _ = call(capsys, "optimizer", "show", "tiny")
    assert code == 0 and "sign(g)" in out and "two_moons" in out and "fitness, maximize" in out
    code, out, err = call(
        capsys, "optimizer", "simplify", "tiny", "--margin", "2", "--device", "cpu", "-o", "s.json"
    )
    assert code == 0 and "On two_moons, 8 steps, 16 seeds a round." in err
    rule = Genome.from_dict(json.loads((folder / "s.json").read_text()))
    assert [term.type.name for term in rule.terms] == ["SIGN_GRAD"] and rule.weight_decay == 0
    assert "without weight decay" in out and rule.equation() in out


def test_a_file_loses_its_barnacle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--tasks", "two_moons", "--seeds", "8", "--margin", "0.3", "--device", "cpu")
    code, out, err = call(
        capsys, "optimizer", "simplify", "barnacle.json", *options, "-o", "small.py"
    )
    assert code == 0 and "8 steps, 8 seeds" in err and "Round 1: 3 rules." in err
    assert "without 5e-10 GRAD" in out and "Wrote small.py." in out
    code, out, _ = call(capsys, "optimizer", "show", "small.py")
    assert code == 0 and "w ← w − η·sign(g)\nη = 0.02\n" in out
    assert "Simplified by optuna_evo from 'barnacle.json'." in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("show", "other.py"), "other.py is no optimizer of ours"),
        (("show", "tiny.toml"), "tiny.toml is no optimizer of ours (it is no JSON)"),
        (("show", "rule.json", "--figure", "x.png"), "`--figure` goes with a learned optimizer"),
        (("show", "nothing"), "There is no controller 'nothing'"),
        (("simplify", "nothing"), "There is no file and no study 'nothing'"),
        (("simplify", "other.py"), "other.py is no optimizer of ours"),
        (("simplify", "edited.py"), "edited.py was changed by hand since it was exported"),
        (("simplify", "torch.json"), "holds no update rule"),
        (("simplify", "rule.json", "--tasks", "nope"), "nope"),
        (("simplify", "rule.json", "-o", "x.txt"), "`--out` must end in .json or .py"),
        (("simplify", "rule.json", "--seeds", "5", "--device", "cpu"), "decide nothing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    args: tuple[str, ...], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "optimizer", *args)
    lines = [line for line in err.splitlines() if not line.startswith("On ")]
    assert code == 2 and len(lines) == 1 and told in lines[0]
    assert not (folder / "x.txt").exists() and not (folder / "optuna_evo.db").exists()

"""Cost as the budget on the command line: in searches, reports and comparisons."""

from pathlib import Path

import pytest

from optuna_evo.reports import tuning_course
from optuna_evo.search import open_storage
from optuna_evo.study import load_study
from tests.cli.test_cli import call
from tests.cli.test_cli import folder as folder  # a fixture


OWN = """
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("gpu_hours", 1 + 9 * x)
    return (x - 0.3) ** 2

def silent(trial):
    return trial.suggest_float("x", 0, 1)
"""
SPEC = """
objective = { name = "priced.py:objective", cost = "gpu_hours" }
direction = "minimize"
n_trials = 12
sampler = { name = "hybrid", population_size = 4, n_generations = 2 }
"""


def test_cost_reaches_the_sampler_the_report_and_the_comparison(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "priced.py").write_text(OWN)
    (folder / "s.toml").write_text(SPEC)
    assert call(capsys, "study", "run", "s.toml")[0] == 0
    stored = load_study("s", open_storage("sqlite:///optuna_evo.db"), allow_import=["priced.py"])
    assert getattr(stored.study.sampler, "_cost") == "gpu_hours"  # noqa: B009
    course = tuning_course(stored.study, cost=stored.spec.objective.cost)
    spent = [trial.user_attrs["gpu_hours"] for trial in stored.study.trials]
    assert course.spent == pytest.approx([sum(spent[: i + 1]) for i in range(12)])
    assert call(capsys, "study", "report", "s", "-o", "s.png")[0] == 0
    assert (folder / "s.png").exists()
    code, out, err = call(
        capsys, "study", "compare-samplers", "s.toml", "--samplers", "random,hybrid",
        "--seeds", "2", "--trials", "6",
    )  # fmt: skip
    assert code == 0, err
    report = (folder / "s_samplers" / "comparison.md").read_text()
    assert "| at equal cost | better by then |" in report and "(gpu_hours)" in report


@pytest.mark.parametrize(
    ("function", "setting", "said"),
    [
        ("silent", 'objective.cost="gpu_hours"', "no complete trial of study 'priced/silent'"),
        ("objective", "objective.cost=3", "objective.cost"),
        ("objective", 'objective.cost=" "', '`objective.cost` must be "seconds" or the name'),
    ],
)
def test_a_cost_that_is_missing_or_wrong_is_said_in_one_line(
    function: str, setting: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "priced.py").write_text(OWN)
    target = f"priced.py:{function}"
    code, _, err = call(capsys, "study", "run", target, "--trials", "3", "--set", setting)
    errors = [line for line in err.splitlines() if line.startswith("Error")]
    assert code != 0 and len(errors) == 1 and said in errors[0], err


def test_seconds_are_a_cost_of_any_study(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "priced.py").write_text(OWN)
    setting = 'objective.cost="seconds"'
    command = ("study", "run", "priced.py:silent", "--sampler", "tpe", "--set", setting)
    assert call(capsys, *command, "--trials", "3")[0] == 0
    assert call(capsys, "study", "report", "priced/silent")[0] == 0

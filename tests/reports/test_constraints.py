"""What violates a constraint is nobody's best: reports, listings, exports, comparisons."""

from collections.abc import Callable
import io
import json
import math
from pathlib import Path

import optuna
from optuna.trial import create_trial
import pytest
from rich.console import Console

from optuna_evo.reports import best_trials
from optuna_evo.reports import SearchProgress
from optuna_evo.reports import tuning_course
from optuna_evo.reports._comparison import course_of
from optuna_evo.search._ancestry import best_of
from tests.cli.test_cli import call


VALUES = [(5.0, -1.0), (1.0, 2.0), (4.0, None), (2.0, 0.5), (6.0, 0.0)]  # value, constraint
OWN = """
def objective(trial):
    x = trial.suggest_float("x", 0, 10)
    trial.set_constraint("memory", {limit} - x)
    return x
"""


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study()
    for value, memory in VALUES:
        constraints = None if memory is None else {"memory": memory}
        study.add_trial(create_trial(value=value, constraints=constraints))
    return study


def test_best_trials_are_feasible_and_the_first_is_that_of_optuna(study: optuna.Study) -> None:
    assert [t.number for t in best_trials(study, 5)] == [2, 0, 4]
    assert best_trials(study, 1)[0].number == study.best_trial.number


def test_courses_go_by_feasible_values(study: optuna.Study) -> None:
    assert tuning_course(study).best_so_far == [5.0, 5.0, 4.0, 4.0, 4.0]
    assert tuning_course(study).values == [value for value, _ in VALUES]
    assert course_of(study).best.tolist() == [5.0, 5.0, 4.0, 4.0, 4.0]


def test_a_course_has_no_value_before_a_feasible_one() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0, constraints={"memory": 1.0}))
    assert math.isnan(tuning_course(study).best_so_far[0])
    assert math.isnan(course_of(study).best[0])
    assert best_trials(study, 1) == []


def test_live_progress_shows_the_best_feasible_value(study: optuna.Study) -> None:
    console = Console(file=io.StringIO())
    progress = SearchProgress(study, n_trials=9, console=console)
    assert progress._shown_best() == "4.0000"
    progress.finished(create_trial(value=0.1, constraints={"memory": 1.0}))
    assert progress._shown_best() == "4.0000"
    progress.finished(create_trial(value=3.0, constraints={"memory": -1.0}))
    assert progress._shown_best() == "3.0000"


def test_the_weights_that_a_final_training_goes_on_from_are_feasible_first(
    study: optuna.Study,
) -> None:
    best = best_of(study.get_trials(), study.direction)
    assert best is not None and best.number == 2


@pytest.fixture
def run_cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    return lambda *args: call(capsys, "study", *args)


def test_the_command_line_lists_shows_and_exports_the_best_feasible_trial(
    run_cli: Callable[..., tuple[int, str, str]],
) -> None:
    Path("own.py").write_text(OWN.format(limit=4))
    run = ("run", "own.py:objective", "--trials", "12", "--sampler", "random", "--name", "own")
    assert run_cli(*run)[0] == 0
    study = optuna.load_study(study_name="own", storage="sqlite:///optuna_evo.db")
    best = study.best_trial
    assert 4 <= best.params["x"] and min(t.value or 0.0 for t in study.trials) < 4
    value = f"{best.value:.4f}"
    assert value in run_cli("list")[1]
    assert f"trial {best.number}, value {value}" in run_cli("show", "own")[1]
    code, out, err = run_cli("export", "own", "--out", "best.json")
    assert code == 0, err
    assert json.loads(Path("best.json").read_text())["x"] == best.params["x"]


def test_without_a_feasible_trial_the_command_line_says_so_in_one_line(
    run_cli: Callable[..., tuple[int, str, str]],
) -> None:
    Path("own.py").write_text(OWN.format(limit=20))
    run = ("run", "own.py:objective", "--trials", "3", "--sampler", "random", "--name", "own")
    code, out, err = run_cli(*run)
    assert code == 0 and "Traceback" not in out + err
    code, out, err = run_cli("export", "own", "--out", "best.json")
    assert code == 2 and err.count("\n") == 1 and "has no feasible trial yet" in err
    for command in (("list",), ("show", "own"), ("report", "own")):
        code, out, err = run_cli(*command)
        assert "Traceback" not in out + err and "value" not in out.replace("values", "")

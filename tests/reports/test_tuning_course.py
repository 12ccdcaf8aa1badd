import math
from pathlib import Path

import optuna
import pytest

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.reports import draw_tuning_course
from optuna_evo.reports import tuning_course


def study_of(n: int, direction: str = "minimize", *, key: str = PROPOSED_BY.key) -> optuna.Study:
    """Study whose value is (x - 0.3)^2, its second half proposed by the bandit."""
    study = optuna.create_study(
        direction=direction,  # type: ignore[arg-type]
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for i in range(n):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr(key, "thompson" if i >= n / 2 else "genetic 0: design")
        trial.set_user_attr("train_loss", x)
        study._storage.set_trial_system_attr(trial._trial_id, "GASampler:generation", 0)
        study.tell(trial, (x - 0.3) ** 2)
    return study


@pytest.mark.parametrize("key", [PROPOSED_BY.key, *PROPOSED_BY.aliases])
def test_the_course_separates_the_phases_and_has_the_best_so_far(key: str) -> None:
    course = tuning_course(study_of(8, key=key))
    assert course.is_bandit == [False] * 4 + [True] * 4
    assert course.generations == {0: course.values[:4]}
    assert course.best_so_far == [min(course.values[: i + 1]) for i in range(8)]
    assert (course.better, course.predicted) == ("lower", [])
    assert math.isnan(course.correlation)


def test_predictions_of_unseen_trials_order_them() -> None:
    course = tuning_course(study_of(30))
    assert len(course.predicted) == 30
    assert course.correlation > 0.7


def test_a_maximised_study_is_predicted_the_right_way_round() -> None:
    course = tuning_course(study_of(30, "maximize"))
    assert course.correlation > 0.7 and course.better == "higher"
    assert course.best_so_far[-1] == max(course.values)


@pytest.mark.parametrize("n", [1, 30])
def test_the_picture_is_drawn(tmp_path: Path, n: int) -> None:
    course = tuning_course(study_of(n))
    draw_tuning_course(course, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_course_without_losses_or_predictions_shows_what_there_is(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    for k in range(5):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("accuracy_mnist", 0.9 + 0.01 * k)
        study.tell(trial, 0.9)
    course = tuning_course(study)
    assert course.tasks == {"mnist": pytest.approx([0.9, 0.91, 0.92, 0.93, 0.94])}
    draw_tuning_course(course, tmp_path / "a.png")


def test_the_validation_loss_is_drawn_before_the_training_loss() -> None:
    study = optuna.create_study()
    for attrs in ({"valid_loss": 0.5, "train_loss": 0.1}, {"train_loss": 0.1}, {}):
        trial = study.ask()
        for key, value in attrs.items():
            trial.set_user_attr(key, value)
        study.tell(trial, 1.0)
    losses = tuning_course(study).losses
    assert losses[:2] == [0.5, 0.1] and math.isnan(losses[2])


def test_without_predictions_the_rest_is_the_same() -> None:
    study = study_of(20)
    without, course = tuning_course(study, predict=False), tuning_course(study)
    assert without.predicted == [] and len(course.predicted) == 20
    assert without.best_so_far == course.best_so_far and without.values == course.values

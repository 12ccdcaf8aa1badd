"""Samplers side by side, from studies whose course is known."""

import datetime
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.reports import compare
from optuna_evo.reports import comparison_markdown
from optuna_evo.reports import course_of
from optuna_evo.reports import draw_comparison
from optuna_evo.reports._comparison import best_at


START = datetime.datetime(2026, 1, 1)


def study_of(
    values: list[float | None],
    *,
    direction: str = "maximize",
    spans: list[tuple[float, float]] | None = None,
) -> optuna.Study:
    """Make a study with these values, None for a pruned trial; its sampler took 0.25 s each."""
    study = optuna.create_study(direction=direction)
    spans = spans or [(i, i + 1.0) for i in range(len(values))]
    for i, (value, (start, end)) in enumerate(zip(values, spans, strict=True)):
        trial = optuna.create_trial(
            state=TrialState.PRUNED if value is None else TrialState.COMPLETE,
            value=value,
            params={"x": float(i)},
            distributions={"x": optuna.distributions.FloatDistribution(0, 100)},
            user_attrs={SAMPLER_SECONDS.key: 0.25},
        )
        trial.datetime_start = START + datetime.timedelta(seconds=start)
        trial.datetime_complete = START + datetime.timedelta(seconds=end)
        study.add_trial(trial)
    return study


def test_the_best_so_far_counts_pruned_trials_as_evaluations() -> None:
    course = course_of(study_of([None, 0.5, 0.2, None, 0.7]))
    assert np.isnan(course.best[0]) and course.best[1:].tolist() == [0.5, 0.5, 0.5, 0.7]
    assert course.params == {"x": 4.0} and course.sampler_seconds == 1.25


@pytest.mark.parametrize(
    ("spans", "busy"),
    [
        ([(0, 1), (1, 2), (2, 4)], [1, 2, 4]),
        ([(0, 1), (101, 102), (102, 103)], [1, 2, 3]),  # a pause
        ([(0, 2), (0, 2), (3, 5)], [2, 2, 4]),  # a batch
        ([(0, 3), (1, 2), (2, 4)], [2, 3, 4]),  # workers side by side: in the order of the ends
    ],
)
def test_seconds_are_those_in_which_a_trial_ran(
    spans: list[tuple[float, float]], busy: list[float]
) -> None:
    assert course_of(study_of([1.0, 2.0, 3.0], spans=spans)).seconds == pytest.approx(busy)


def test_contenders_are_ranked_and_paired_with_the_first_by_seed() -> None:
    studies = {
        "slow": [study_of([1, 2, 3]), study_of([1, 2, 4])],
        "fast": [study_of([3, 3, 5]), study_of([0, 1, 4])],
        "poor": [study_of([0, 0, 0]), study_of([0, 0, 0])],
    }
    slow, fast, poor = compare("s", ["t"], [0, 1], studies).contenders
    assert [slow.rank, fast.rank, poor.rank] == [1.75, 1.25, 3.0]
    assert [slow.to_reach, fast.to_reach, poor.to_reach] == [[3, 3], [1, 3], [None, None]]
    assert (fast.gain.mean, poor.gain.mean, slow.final.mean) == (1.0, -3.5, 3.5)
    assert (slow.training_seconds, slow.sampler_seconds) == pytest.approx((2.25, 0.75))


def test_gains_are_positive_where_lower_is_better() -> None:
    studies = {
        "a": [study_of([3, 2], direction="minimize")],
        "b": [study_of([3, 1], direction="minimize")],
    }
    comparison = compare("s", ["t"], [0], studies)
    a, b = comparison.contenders
    assert comparison.better == "lower" and (a.rank, b.rank, b.gain.mean) == (2, 1, 1)


def test_the_report_has_a_row_for_each_sampler_and_its_parameters(tmp_path: Path) -> None:
    studies = {"a": [study_of([1, 2])], "b|c": [study_of([1, 3])]}
    comparison = compare("s", ["t"], [0], studies)
    text = comparison_markdown(comparison, image="c.png")
    for expected in ("2 samplers on t, 2 trials, 1 seed", "| a | 2.0000 | 2.00 | 2 (1/1) |"):
        assert expected in text
    assert "| b\\|c | 3.0000 | 1.00 | 2 (1/1) | +1.0000 |" in text and "| x | 1 | 1 |" in text
    draw_comparison(comparison, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 10_000


def test_the_best_at_a_time_is_what_had_ended_by_then() -> None:
    courses = [course_of(study_of([1.0, 2.0])), course_of(study_of([5.0, 4.0]))]
    found = best_at(courses, np.array([0.5, 1.0, 1.5, 2.0]))
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1:].tolist() == [[1.0, 1.0, 2.0], [5.0, 5.0, 5.0]]

"""Intervals: equal to SciPy's, to the formula by hand, and right as often as they say."""

from collections.abc import Callable
import math

import numpy as np
import pytest
from scipy import stats

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation._interval import studentised


Rows = np.ndarray
TASKS = np.array([0.2, 0.5, 1.0, 1.0, 2.0, 4.0])  # the scales of six tasks

# What is drawn, with its true mean: sets of values, one in each row.
KINDS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Rows], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "uniform": (lambda rng, shape: rng.uniform(size=shape), 0.5),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: rng.lognormal(0, 0.5, size=shape), math.exp(0.125)),
    "heavy tails": (lambda rng, shape: rng.standard_t(3, size=shape), 0.0),
    "Laplace": (lambda rng, shape: rng.laplace(size=shape), 0.0),
    # seeds within tasks: the tasks are fixed, a value is the mean over them for one seed
    "tasks": (
        lambda rng, shape: (rng.exponential(size=(*shape, len(TASKS))) * TASKS).mean(axis=2),
        float(TASKS.mean()),
    ),
}


def coverage(kind: str, *, n_values: int, n_sets: int, resamples: int) -> float:
    """Return the share of sets whose interval holds the true mean, in %."""
    draw, truth = KINDS[kind]
    rng, hits = np.random.default_rng(7), 0
    for part in range(n_sets // 100):
        # other resamples for each part: what is random about them is no part of the coverage
        rows = draw(rng, (100, n_values))
        low, high = studentised(rows, seed=part, resamples=resamples).T
        hits += int(np.count_nonzero((low <= truth) & (truth <= high)))
    return 100 * hits / n_sets


@pytest.mark.parametrize("kind", ["normal", "exponential", "heavy tails", "tasks"])
def test_ten_values_give_an_interval_that_is_right_95_times_in_100(kind: str) -> None:
    # 2,000 sets: the standard error is 0.5
    found = coverage(kind, n_values=10, n_sets=2_000, resamples=600)
    assert found == pytest.approx(95, abs=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("n_values", [10, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_at_length(kind: str, n_values: int) -> None:
    # 10,000 sets: the standard error is 0.2
    found = coverage(kind, n_values=n_values, n_sets=10_000, resamples=1_000)
    # of values without tails, intervals are a little too wide
    assert found == pytest.approx(95, abs=2.5 if kind == "uniform" else 1.5)


def test_a_bootstrap_interval_by_its_formula() -> None:
    values = np.array([0.91, 0.93, 0.90, 0.97, 0.92, 0.95, 0.91, 0.94, 0.99, 0.88])
    rng = np.random.default_rng(123)
    mean, error = values.mean(), stats.sem(values)
    drawn = rng.choice(values, size=(20_000, 10))
    t = (drawn.mean(axis=1) - mean) / stats.sem(drawn, axis=1)
    size = np.quantile(np.abs(t), 0.95)
    low = mean - (np.quantile(t, 0.975) + size) / 2 * error
    high = mean - (np.quantile(t, 0.025) - size) / 2 * error
    found = Interval.bootstrap([*map(float, values)])
    # both are random: 3 % of the width
    assert found.mean == mean
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.03 * (high - low))
    assert found.half_width == (found.high - found.low) / 2


def test_a_bootstrap_interval_follows_skewness() -> None:
    skewed = Interval.bootstrap([1, 1.1, 1.2, 1.1, 1, 1.3, 1.2, 1.1, 2, 5])
    assert skewed.high - skewed.mean > 2 * (skewed.mean - skewed.low)
    mirrored = Interval.bootstrap([-1, -1.1, -1.2, -1.1, -1, -1.3, -1.2, -1.1, -2, -5])
    assert (mirrored.low, mirrored.high) == pytest.approx((-skewed.high, -skewed.low), rel=1e-2)


def test_shift_and_scale_move_an_interval_along() -> None:
    values = [0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6, 0.5]
    one, other = Interval.bootstrap(values), Interval.bootstrap([10 * v + 7 for v in values])
    assert (other.low, other.high) == pytest.approx((10 * one.low + 7, 10 * one.high + 7))


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly() -> None:
    values = [0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6, 0.5]
    one = Interval.bootstrap(values, seed=1)
    assert Interval.bootstrap(values, seed=1) == one
    other = Interval.bootstrap(values, seed=2)
    assert other != one and other.low == pytest.approx(one.low, abs=0.05 * one.half_width)


@pytest.mark.parametrize("n_values", [2, 3, 5, 7])
def test_fewer_than_8_values_have_students_interval(n_values: int) -> None:
    values = [0.5, 0.7, 0.4, 0.9, 0.3, 0.6, 0.8][:n_values]
    assert Interval.bootstrap(values) == Interval.of(values)
    expected = stats.t.interval(0.95, n_values - 1, loc=np.mean(values), scale=stats.sem(values))
    found = Interval.of(values)
    assert (found.low, found.high) == pytest.approx(expected)


def test_values_most_of_which_are_equal_have_students_interval() -> None:
    values = [0.0] * 9 + [1.0]
    assert Interval.bootstrap(values) == Interval.of(values)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_equal_values_have_an_interval_without_a_width(value: float) -> None:
    found = Interval.bootstrap([value] * 10)
    assert found.low == pytest.approx(value) and found.high == pytest.approx(value)


def test_one_value_has_no_interval_and_excludes_nothing() -> None:
    found = Interval.bootstrap([0.25])
    assert found.mean == 0.25 and math.isnan(found.half_width) and not found.excludes_zero


@pytest.mark.parametrize(
    ("low", "high", "excluded"), [(-2, -1, True), (1, 2, True), (-1, 1, False), (0, 1, False)]
)
def test_zero_is_excluded_by_two_ends_on_one_side(low: float, high: float, excluded: bool) -> None:
    assert Interval((low + high) / 2, low, high).excludes_zero is excluded


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf, 1.0]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Interval.bootstrap(values)

"""Times to a target, profiles, speed-ups and sensitivities: hand-made cases."""

from collections.abc import Sequence
import math

import numpy as np
import pytest
from scipy import stats

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import lr_sensitivity
from optuna_evo.evaluation import Profile
from optuna_evo.evaluation import profiles
from optuna_evo.evaluation import speed_up
from optuna_evo.evaluation import time_to_target


def test_a_target_is_reached_at_the_first_time_that_is_as_good() -> None:
    times, losses = [10, 20, 30, 40], [0.9, math.nan, 0.5, 0.7]
    assert time_to_target(times, losses, 0.7) == 30
    assert time_to_target(times, losses, 0.5) == 30
    assert time_to_target(times, losses, 0.95) == 10
    assert time_to_target(times, losses, 0.4) is None
    assert time_to_target(times, losses, 0.6, minimize=False) == 10
    assert time_to_target(times, losses, 0.91, minimize=False) is None
    with pytest.raises(ValueError, match="shorter"):
        time_to_target(times, losses[:2], 0.1)


TIMES: dict[str, dict[str, float | None]] = {
    "a": {"w": 100, "x": 100, "y": 100, "z": None},
    "b": {"w": 50, "x": 150, "y": 300, "z": None},
    "c": {"w": 200, "x": None, "y": None, "z": None},
}


def test_a_profile_is_the_share_of_tasks_within_a_factor_of_the_fastest() -> None:
    found = profiles(TIMES)
    assert found["a"].ratios == (1, 1, 2, math.inf)
    assert found["b"].ratios == (1, 1.5, 3, math.inf)
    assert found["c"].ratios == (4, math.inf, math.inf, math.inf)
    assert [found["b"].at(x) for x in (1, 1.49, 1.5, 2.9, 3, 1e9)] == [
        0.25,
        0.25,
        0.5,
        0.5,
        0.75,
        0.75,
    ]
    assert [found[name].unreached for name in "abc"] == [1, 1, 3]


def test_the_score_is_the_area_below_a_profile() -> None:
    for profile in (*profiles(TIMES).values(), Profile((1.0, 1.0)), Profile((math.inf,))):
        factors = np.linspace(1, 4, 30_001)
        area = np.trapezoid([profile.at(x) for x in factors], factors) / 3
        assert profile.score() == pytest.approx(area, abs=1e-4)
    assert Profile((1.0, 1.0)).score() == 1 and Profile((math.inf,)).score() == 0
    assert Profile((1.0, 3.0)).score(most=2) == 0.5


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"a": {"x": 1.0}, "b": {"y": 1.0}}, "no time on"),
        ({"a": {"x": 0.0}}, "above 0"),
        ({"a": {"x": math.inf}}, "None says"),
        ({"a": {"x": math.nan}}, "above 0"),
    ],
)
def test_times_that_are_none_are_refused(
    times: dict[str, dict[str, float | None]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        profiles(times)


Cells = dict[tuple[str, int], float | None]


def cells(*times: float | None) -> Cells:
    return {("task", seed): time for seed, time in enumerate(times)}


def test_a_speed_up_is_the_geometric_mean_of_the_ratios() -> None:
    ours, theirs = cells(100, 200, 50), cells(200, 100, 200)  # 2, 1/2, 4
    found = speed_up(ours, theirs, budget=200)
    assert found.ratio.mean == pytest.approx(stats.gmean([2, 0.5, 4]))
    logs = Interval.of(np.log([2, 0.5, 4]).tolist())
    assert (found.ratio.low, found.ratio.high) == pytest.approx(
        (math.exp(logs.low), math.exp(logs.high))
    )
    assert (found.both, found.ours_only, found.theirs_only, found.neither) == (3, 0, 0, 0)
    assert speed_up(theirs, ours, budget=200).ratio.mean == pytest.approx(1 / found.ratio.mean)


def test_a_target_that_was_not_reached_speaks_against_ours_and_is_counted() -> None:
    ours, theirs = cells(50, None, None, 100), cells(None, 50, None, 100)
    found = speed_up(ours, theirs, budget=100)
    # theirs right after the budget: 2; ours after twice the budget: 1/4; neither: left out; 1
    assert found.ratio.mean == pytest.approx(stats.gmean([2, 1 / 4, 1]))
    assert (found.both, found.ours_only, found.theirs_only, found.neither) == (1, 1, 1, 1)
    harder = speed_up(ours, theirs, budget=100, penalty=4)
    assert harder.ratio.mean == pytest.approx(stats.gmean([2, 1 / 8, 1]))
    assert math.isnan(speed_up(cells(None), cells(None), budget=1).ratio.mean)


def test_a_speed_up_over_tasks_or_seeds() -> None:
    ours: Cells = {("a", 0): 10, ("a", 1): 10, ("b", 0): 10, ("b", 1): None}
    theirs: Cells = {("a", 0): 20, ("a", 1): 80, ("b", 0): 20, ("b", 1): None}
    by_task = speed_up(ours, theirs, budget=100, unit="task")
    assert by_task.ratio.mean == pytest.approx(stats.gmean([4, 2]))
    by_seed = speed_up(ours, theirs, budget=100)
    assert by_seed.ratio.mean == pytest.approx(stats.gmean([2, 8]))


def test_ten_ratios_have_a_bootstrap_interval() -> None:
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.normal(0.2, 0.1, size=10))
    found = speed_up(cells(*[100.0] * 10), cells(*(100 * ratios)), budget=500, seed=4)
    logs = Interval.bootstrap(np.log(ratios).tolist(), seed=4)
    assert found.ratio.low == pytest.approx(math.exp(logs.low), rel=1e-6)
    assert 1.05 < found.ratio.low < stats.gmean(ratios) < found.ratio.high < 1.5


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "message"),
    [
        (cells(1), cells(1, 2), {"budget": 9}, "same tasks and seeds"),
        (cells(10), cells(5), {"budget": 9}, "within the budget"),
        (cells(1), cells(5), {"budget": 9, "penalty": 0.5}, "at least 1"),
    ],
)
def test_times_that_cannot_be_compared_are_refused(
    ours: Cells, theirs: Cells, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        speed_up(ours, theirs, **options)  # type: ignore[arg-type]


RATES = [1e-4, 1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize(
    ("values", "within", "share", "best"),
    [
        # from 1e-3 a decade down to 0.2 of the way, and one and a half decades up
        ([1.0, 0.0, 0.1, 0.3], 0.2, (0.2 + 1 + 0.5) / 3, 1e-3),
        ([0.0, 0.0, 0.0, 0.0], 0.0, 1, 1e-4),
        ([1.0, 0.0, math.nan, 0.1], 0.5, 0.5 / 3, 1e-3),
        ([1.0, 0.0, math.inf, math.inf], 0.5, 0.5 / 3, 1e-3),
        ([0.0, 1.0, 0.0, 1.0], 0.25, 3 * 0.25 / 3, 1e-4),
        ([1.0, 0.0, 1.0, 2.0], 0.0, 0, 1e-3),
    ],
)
def test_sensitivity_is_the_share_of_good_learning_rates(
    values: Sequence[float], within: float, share: float, best: float
) -> None:
    found = lr_sensitivity(RATES, values, within=within)
    assert found.share == pytest.approx(share) and found.best_lr == best
    assert found.decades == pytest.approx(3 * share)
    other = lr_sensitivity(
        RATES[::-1], [-value for value in reversed(values)], within=within, minimize=False
    )
    assert other.share == pytest.approx(share)


@pytest.mark.parametrize(
    ("rates", "values"),
    [([1e-3], [1.0]), (RATES, [math.nan] * 4), (RATES, [1.0]), ([1, 1], [0, 1])],
)
def test_a_sensitivity_needs_two_rates_and_a_value(
    rates: Sequence[float], values: Sequence[float]
) -> None:
    with pytest.raises(ValueError, match="sensitivity"):
        lr_sensitivity(rates, values, within=0.1)

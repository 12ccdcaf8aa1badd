"""Analyses of learning curves against plain references."""

import math

import numpy as np
import pytest
from scipy import stats

from optuna_evo.curves import analyse
from optuna_evo.curves import final_performance
from optuna_evo.curves import smoothed
from optuna_evo.curves import spikes
from optuna_evo.curves import steps_to_target
from optuna_evo.curves import trend


NOISY = np.random.default_rng(0).normal(size=40) * 0.3 + np.linspace(3, 1, 40)


def test_smoothing_is_the_weighted_mean_of_all_earlier_values() -> None:
    span = 7.0
    keep = 1 - 2 / (span + 1)
    for n, found in enumerate(smoothed(NOISY.tolist(), span)):
        weights = keep ** np.arange(n, -1, -1)
        assert found == pytest.approx(weights @ NOISY[: n + 1] / weights.sum())


def test_smoothing_leaves_out_what_is_not_finite() -> None:
    assert np.isnan(smoothed([math.nan, math.inf])).all()
    found = smoothed([math.nan, 2.0, math.inf, 2.0], span=3)
    assert math.isnan(found[0]) and found[1:].tolist() == pytest.approx([2.0, 2.0, 2.0])
    with pytest.raises(ValueError, match="`span` must be at least 1"):
        smoothed([1.0], span=0.5)


def test_steps_to_a_target_are_the_first_ones() -> None:
    assert steps_to_target([3, 2, 1, 2], 2) == 2
    assert steps_to_target([3, 2, 1], 2, steps=[10, 20, 30]) == 20
    assert steps_to_target([3, 2, 1], 0.5) is None
    # a single lucky batch is not convergence once the curve is smoothed
    assert steps_to_target([3.0, 3.0, 3.0, 0.0, 3.0], 0.5, span=5) is None


def test_final_performance_is_a_mean_or_infinite() -> None:
    assert final_performance([9, 1, 2], last=2) == 1.5
    assert final_performance([1], last=5) == 1
    assert final_performance([1, math.nan], last=1) == math.inf
    assert final_performance([]) == math.inf


def test_spikes_are_found_and_noise_is_none() -> None:
    curve = [2 - 0.01 * i + 0.05 * math.sin(7 * i) for i in range(60)]
    assert spikes(curve) == []
    curve[29], curve[44] = 8.0, math.nan
    assert spikes(curve) == [30, 45]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_trend_is_that_of_scipy(sign: int) -> None:
    curve = sign * NOISY
    found = trend(curve.tolist())
    assert found.direction == ("falling" if sign > 0 else "rising")
    assert found.slope == pytest.approx(stats.theilslopes(curve).slope)
    # Mann and Kendall's score is Kendall's tau against time
    tau = stats.kendalltau(np.arange(len(curve)), curve, method="asymptotic")
    n = len(curve)
    s = found.z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    assert abs(s) + 1 == pytest.approx(abs(tau.statistic) * n * (n - 1) / 2)


def test_ties_count_for_the_variance_of_a_trend() -> None:
    values = [3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    n, s = 7, -sum(values[i] > values[j] for i in range(7) for j in range(i + 1, 7))
    variance = (n * (n - 1) * (2 * n + 5) - (2 * 1 * 9) * 2 - 3 * 2 * 11) / 18
    assert trend(values).z == pytest.approx((s + 1) / math.sqrt(variance))


def test_what_does_not_move_has_no_trend() -> None:
    assert trend([1.0] * 9).direction == trend([2.0, 1.0]).direction == "flat"
    alternating = [1.0, 2.0] * 8
    assert trend(alternating).direction == "flat"
    assert trend([9.0, 8.0, 7.0, 6.0, *alternating], last=16).direction == "flat"


def test_an_analysis_puts_runs_together() -> None:
    falling = [4 * 0.9**i for i in range(40)]
    found = analyse(
        [falling, [x + 0.1 for x in falling], [1.0] * 15 + [100.0] * 25],
        target=1.0,
        last=5,
        span=1,
    )
    assert found.share_reached == 1.0  # the third begins there
    assert found.steps_to_target == 15
    assert found.diverged_share == pytest.approx(1 / 3)
    assert found.spread == pytest.approx(0.05)
    assert found.trend.direction == "falling"
    assert math.isinf(analyse([falling], target=-1.0).steps_to_target)
    with pytest.raises(ValueError, match="There must be a curve"):
        analyse([], target=1.0)

"""The Gaussian process agrees with its definition, and draws agree with the process."""

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
import pytest
from scipy.optimize import check_grad
from scipy.stats import norm

from optuna_evo.surrogates import bound
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import warp
from optuna_evo.surrogates._gp import _negative_log_posterior
from optuna_evo.surrogates._gp import _priors
from optuna_evo.surrogates._gp import squared_distances


Array = NDArray[np.float64]
GROUPS = np.arange(2)


def _data(n: int = 30) -> tuple[Array, Array]:
    x = np.random.default_rng(0).random((n, 2)) - 0.5
    y = np.sin(6.0 * x[:, 0])
    return x, (y - y.mean()) / y.std()


def test_the_gradient_of_the_fit_is_that_of_its_objective() -> None:
    x, y = _data(15)
    distances = np.stack([squared_distances(x[:, [j]], x[:, [j]]) for j in range(2)])
    mean, spread = _priors(np.full(2, 2.0), (1e-3, 1.0))
    for seed in range(3):
        theta = mean + 0.5 * np.random.default_rng(seed).standard_normal(4)
        args = (distances, y, mean, spread)
        error = check_grad(
            lambda t, args=args: _negative_log_posterior(t, *args)[0],
            lambda t, args=args: _negative_log_posterior(t, *args)[1],
            theta,
        )
        assert error < 1e-4 * np.abs(_negative_log_posterior(theta, *args)[1]).max()


def test_the_mean_passes_through_observations_and_is_unsure_far_away() -> None:
    x, y = _data()
    posterior = condition(Kernel(np.array([9.0, 0.1]), 1.0, 1e-6), x, y, GROUPS)
    mean, variance = posterior.mean_and_variance(np.vstack([x, [[9.0, 9.0]]]))
    np.testing.assert_allclose(mean[:-1], y, atol=1e-2)
    assert variance[:-1].max() < 1e-3
    assert variance[-1] == pytest.approx(1.0)


def test_the_fit_finds_which_parameter_matters() -> None:
    x, y = _data()
    weights = fit_kernel(x, y, GROUPS).weights
    assert weights[0] > 10.0 * weights[1]


def test_few_results_are_not_taken_for_noise_where_a_signal_is_likelier() -> None:
    def f(x: Array) -> Array:
        return np.asarray(np.abs(x[:, 0] - 0.3) + np.sin(9.0 * x[:, 1]))

    rng = np.random.default_rng(27)  # a climb from the prior's mean ends where little is explained
    x = rng.random((14, 6))
    y, groups = (f(x) - f(x).mean()) / f(x).std(), np.arange(6)
    posterior = condition(fit_kernel(x, y, groups, noise=(1e-2, 2.5)), x, y, groups)
    new = rng.random((200, 6))
    assert np.corrcoef(posterior.mean_and_variance(new)[0], f(new))[0, 1] > 0.5


def test_draws_have_the_moments_of_the_posterior() -> None:
    x, y = _data(8)
    posterior = condition(fit_kernel(x, y, GROUPS), x, y, GROUPS)
    at = np.random.default_rng(1).random((5, 2)) - 0.5
    mean, variance = posterior.mean_and_variance(at)
    draws = posterior.draw(at, 20_000, np.random.default_rng(2))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=4.0 * np.sqrt(variance.max() / 2e4))
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.06, atol=1e-6)


def test_draws_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    kernel, hits = Kernel(np.array([20.0, 20.0]), 1.0, 1e-4), []
    for _ in range(40):
        x = rng.random((40, 2))
        factor = np.linalg.cholesky(kernel(x, x, GROUPS) + 1e-8 * np.eye(40))
        y = factor @ rng.standard_normal(40)
        mean, variance = condition(kernel, x[:30], y[:30], GROUPS).mean_and_variance(x[30:])
        hits.append(np.abs(y[30:] - mean) < norm.ppf(0.9) * np.sqrt(variance))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.06)


def test_an_untried_choice_is_predicted_from_the_tried_ones() -> None:
    encoding = SpaceEncoding({"c": CategoricalDistribution("abcd"), "x": FloatDistribution(0, 1)})
    units = np.array([[c, x] for c in (0.0, 1.0, 2.0) for x in (0.1, 0.5, 0.9)])
    targets = 3.0 + 0.1 * units[:, 0]
    kernel = Kernel(np.array([0.5, 0.5]), 4.0, 1e-3)
    posterior = condition(kernel, encoding.features(units), targets, encoding.groups)
    rows = encoding.features(np.array([[3.0, 0.5], [0.0, 0.5]]))
    mean, variance = posterior.mean_and_variance(rows)
    assert 2.0 < mean[0] < 3.5
    assert variance[0] > 2.0 * variance[1]


def test_equal_rows_do_not_break_a_draw() -> None:
    x = np.zeros((20, 2))
    posterior = condition(fit_kernel(x, np.zeros(20), GROUPS), x, np.zeros(20), GROUPS)
    assert np.isfinite(posterior.draw(x, 2, np.random.default_rng(0))).all()


def test_warping_keeps_the_order_and_spreads_the_best() -> None:
    losses = np.array([0.1, 0.11, 0.2, 1.0, 50.0])
    warped = warp(losses)
    assert (np.diff(warped) > 0).all()
    assert warped[1] - warped[0] > 1e-3 * (warped[4] - warped[0])
    assert warped.mean() == pytest.approx(0.0, abs=1e-12)


def test_warping_equal_losses_gives_zeros() -> None:
    np.testing.assert_array_equal(warp(np.full(4, 7.0)), np.zeros(4))


def test_infinite_losses_become_the_worst_and_the_best() -> None:
    bounded = bound(np.array([1.0, 2.0, np.inf, -np.inf]))
    assert np.isfinite(bounded).all()
    assert bounded.argmax() == 2
    assert bounded.argmin() == 3


def test_a_parameter_is_as_long_as_those_that_act_with_it_make_it() -> None:
    x, y = np.zeros((1, 4)), np.zeros(1)
    active = np.array([4.0, 2.0, 2.0, 1.0])
    weights = fit_kernel(x, y, np.arange(4), active=active).weights
    np.testing.assert_allclose(weights * active, 4.0, rtol=1e-3)
    np.testing.assert_allclose(fit_kernel(x, y, np.arange(4)).weights, 1.0, rtol=1e-3)

"""Models of sources, and the process that knows what they predict."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.optimize import approx_fprime

from optuna_evo.surrogates import _informed
from optuna_evo.surrogates import _sources
from optuna_evo.surrogates import fit_informed
from optuna_evo.surrogates import fit_sources
from optuna_evo.surrogates import inform
from optuna_evo.surrogates import InformedPosterior
from optuna_evo.surrogates import source_shares
from optuna_evo.surrogates import SourceModels
from optuna_evo.surrogates import SourceRows
from optuna_evo.surrogates import standardise


Array = NDArray[np.float64]
GROUPS = np.arange(2)


def points(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((n, 2)) - 0.5


def wave(x: Array) -> Array:
    return np.asarray(np.sin(4.0 * x[:, 0]) + x[:, 1] ** 2)


def source(f: Callable[[Array], Array], seed: int = 0, n: int = 40) -> SourceRows:
    x = points(n, seed)
    return SourceRows(x, standardise(f(x)), np.ones(2, dtype=bool))


def noise(x: Array) -> Array:
    return np.random.default_rng(9).standard_normal(len(x))


def posterior(models: SourceModels, f: Callable[[Array], Array], n: int) -> InformedPosterior:
    x = points(n, seed=5)
    y = standardise(f(x))
    shares = source_shares(models.means(x), y)
    return inform(models, shares, fit_informed(models, shares, x, y), x, y)


def test_a_source_predicts_what_it_has_not_seen() -> None:
    models = fit_sources([source(wave)], GROUPS)
    new = points(50, seed=1)
    assert np.corrcoef(models.means(new)[:, 0], wave(new))[0, 1] > 0.98


def test_reliability_tells_signal_from_noise() -> None:
    models = fit_sources([source(wave), source(noise)], GROUPS)
    assert models.reliability[0] > 0.9
    assert models.reliability[1] < 0.3


def test_predictions_do_not_depend_on_a_parameter_that_the_source_lacks() -> None:
    rows = source(wave)
    lacking = SourceRows(rows.features, rows.targets, np.array([True, False]))
    models = fit_sources([lacking, rows], GROUPS)
    a, b = np.array([[0.1, -0.4]]), np.array([[0.1, 0.4]])
    first, second = (models.means(x)[0] for x in (a, b))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_asking_some_sources_gives_the_same_columns() -> None:
    models = fit_sources([source(wave, seed) for seed in range(3)], GROUPS)
    x = points(7, seed=3)
    some = models.means(x, [2])
    assert some[:, 2] == pytest.approx(models.means(x)[:, 2])
    assert not some[:, :2].any()


def test_the_gradients_are_those_of_the_likelihoods() -> None:
    x, y = points(12), standardise(wave(points(12)))
    distances = np.stack([(x[:, None, j] - x[:, j]) ** 2 for j in range(2)])
    columns = np.random.default_rng(1).standard_normal((12, 4))
    informed = np.array([1.0, 0.5, -0.7, -4.0, -0.5, -0.9])
    shared = np.array([1.0, 0.5, -3.0])
    cases = [
        (_informed._negative_log_posterior, informed, (distances, columns, y)),
        (_sources._negative_log_posterior, shared, ([distances], [y])),
    ]
    for function, theta, inputs in cases:
        args = (*inputs, np.zeros_like(theta), np.ones_like(theta))
        numeric = approx_fprime(theta, lambda t: function(t, *args)[0], 1e-6)  # noqa: B023
        assert function(theta, *args)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_a_right_source_predicts_a_target_with_few_results() -> None:
    models = fit_sources([source(wave)], GROUPS)
    new = points(50, seed=2)
    mean, _ = posterior(models, wave, 5).mean_and_variance(new)
    assert np.corrcoef(mean, wave(new))[0, 1] > 0.95


def test_a_wrong_source_is_outgrown() -> None:
    models = fit_sources([source(lambda x: np.cos(9.0 * x[:, 0] + 5.0 * x[:, 1]))], GROUPS)
    new = points(50, seed=2)
    mean, _ = posterior(models, wave, 30).mean_and_variance(new)
    assert np.corrcoef(mean, wave(new))[0, 1] > 0.95


def test_shares_and_coefficients_follow_the_source_that_orders_the_results() -> None:
    models = fit_sources([source(wave), source(lambda x: -wave(x), seed=1)], GROUPS)
    found = posterior(models, wave, 12)
    assert found.shares[0] > 0.9
    right, wrong = found.coefficients()
    assert right > 0.5 > wrong


def test_shares_are_equal_without_evidence() -> None:
    assert source_shares(np.zeros((1, 4)), np.zeros(1)).tolist() == [0.25] * 4
    assert source_shares(np.zeros((3, 2)), np.zeros(3)).tolist() == [0.5, 0.5]


def test_draws_have_the_posterior_mean_and_variance() -> None:
    found = posterior(fit_sources([source(wave)], GROUPS), wave, 6)
    x = points(4, seed=8)
    mean, variance = found.mean_and_variance(x)
    drawn = found.draw(x, 20_000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.03)
    assert drawn.var(axis=0) == pytest.approx(variance, rel=0.1, abs=1e-3)

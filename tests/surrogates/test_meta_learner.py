"""The meta-learner predicts, knows what it does not know, and says when not to trust it."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
import pytest
from scipy.stats import spearmanr

from optuna_evo.surrogates import MetaLearner
from optuna_evo.surrogates._meta_learner import rank_correlation
from optuna_evo.surrogates._networks import _backward
from optuna_evo.surrogates._networks import _forward


SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "act": CategoricalDistribution(["relu", "tanh"]),
    "momentum": FloatDistribution(0.0, 1.0),
}


def _configurations(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = [
        {"lr": 10 ** rng.uniform(-4, 0), "act": str(rng.choice(["relu", "tanh"]))}
        for _ in range(n)
    ]
    return [r | {"momentum": rng.random()} if r["act"] == "relu" else r for r in rows]


def _loss(params: dict[str, Any]) -> float:
    return (np.log10(params["lr"]) + 2.0) ** 2 + (params["act"] == "tanh")


def test_it_orders_configurations_it_has_not_seen() -> None:
    tried, fresh = _configurations(60), _configurations(100, seed=1)
    learned = MetaLearner().fit(tried, map(_loss, tried), SPACE)
    assert learned.is_trusted
    assert spearmanr(learned.predict(fresh).mean, [_loss(c) for c in fresh]).statistic > 0.8


def test_the_correlation_it_reports_is_that_of_fresh_trials() -> None:
    tried, fresh = _configurations(60), _configurations(300, seed=1)
    learned = MetaLearner().fit(tried, map(_loss, tried), SPACE)
    actual = spearmanr(learned.predict(fresh).mean, [_loss(c) for c in fresh]).statistic
    assert learned.correlation == pytest.approx(actual, abs=0.15)


def test_it_does_not_trust_itself_on_noise() -> None:
    tried = _configurations(60)
    learned = MetaLearner().fit(tried, np.random.default_rng(0).random(60), SPACE)
    assert abs(learned.correlation) < 0.4
    assert not learned.is_trusted


def test_it_is_less_sure_where_nothing_was_tried() -> None:
    tried = [c for c in _configurations(120) if c["lr"] < 1e-2]
    learned = MetaLearner().fit(tried, map(_loss, tried), SPACE)
    known = learned.predict([{"lr": 1e-3, "act": "tanh"}]).spread
    unknown = learned.predict([{"lr": 1.0, "act": "tanh"}]).spread
    assert unknown[0] > 2.0 * known[0]


def test_the_same_data_and_seed_give_the_same_predictions() -> None:
    tried = _configurations(20)
    first, second = (MetaLearner(seed=3).fit(tried, map(_loss, tried), SPACE) for _ in range(2))
    np.testing.assert_array_equal(first.predict(tried).mean, second.predict(tried).mean)


def test_the_value_it_must_reach_to_be_trusted_can_be_set() -> None:
    tried = _configurations(60)
    strict = MetaLearner(min_correlation=1.0).fit(tried, map(_loss, tried), SPACE)
    assert not strict.is_trusted


def test_backpropagation_is_the_gradient_of_the_weighted_error() -> None:
    rng = np.random.default_rng(0)
    x, y, weights = rng.random((7, 3)), rng.random(7), np.full((2, 7), 1 / 7)
    sizes = [3, 4, 4, 1]
    layers = [
        (rng.standard_normal((2, a, b)), rng.standard_normal((2, 1, b)))
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
    ]

    def error() -> float:
        return float((weights * (_forward(layers, x)[-1][..., 0] - y) ** 2).sum())

    gradients = _backward(layers, x, y, weights)
    for layer, gradient in zip(layers, gradients, strict=True):
        for parameter, g in zip(layer, gradient, strict=True):
            before, at = error(), (1, 0, 0)
            parameter[at] += 1e-6
            assert (error() - before) / 1e-6 == pytest.approx(g[at], rel=1e-3, abs=1e-5)
            parameter[at] -= 1e-6


def test_rank_correlation_is_spearmans_and_zero_for_constants() -> None:
    a, b = np.random.default_rng(0).random((2, 20))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, np.ones(20)) == 0.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_networks": 1}, "`n_networks` must be at least 2"),
        ({"hidden": 0}, "`hidden` must be at least 1"),
        ({"min_correlation": 2.0}, r"`min_correlation` must be in \[-1, 1\]"),
    ],
)
def test_a_wrong_argument_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetaLearner(**kwargs)


@pytest.mark.parametrize("losses", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")]])
def test_wrong_data_is_refused(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="`losses`"):
        MetaLearner().fit(_configurations(2), losses, SPACE)

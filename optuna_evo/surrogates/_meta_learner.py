"""A small neural network that predicts the result of a configuration, and says how well it does.

The uncertainty is that of a deep ensemble (Lakshminarayanan, Pritzel and Blundell 2017). Each
network misses one fold of the data, so every observation is predicted by a network that has not
seen it, and the rank correlation of those predictions is an honest figure at no extra cost.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from scipy.stats import rankdata

from optuna_evo.surrogates._encoding import SpaceEncoding
from optuna_evo.surrogates._networks import Networks
from optuna_evo.surrogates._networks import train
from optuna_evo.surrogates._warp import bound
from optuna_evo.surrogates._warp import warp


Array = NDArray[np.float64]


class Prediction(NamedTuple):
    """Expected results and their uncertainty, on the learner's own scale: lower is better."""

    mean: Array
    spread: Array


class MetaLearner:
    """Predict results from configurations of any (mixed, conditional) space.

    Results are learned on a warped scale that spreads the best ones, so predictions order
    configurations, they are not values of the objective. Infinite losses count as just beyond
    the worst finite one.

    Args:
        n_networks:
            Size of the ensemble and number of folds, at least 2.
        hidden:
            Units of each of the two hidden layers, at least 1.
        min_correlation:
            Below this rank correlation on observations that a network has not seen, the learner
            says that it is not to be trusted, in [-1, 1].
        seed:
            Seed of the initial weights and of the folds.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from optuna.distributions import FloatDistribution
        >>> space = {"x": FloatDistribution(0.0, 1.0)}
        >>> tried = [{"x": i / 20} for i in range(20)]
        >>> learned = MetaLearner().fit(tried, [(t["x"] - 0.3) ** 2 for t in tried], space)
        >>> learned.is_trusted
        True
        >>> mean = learned.predict([{"x": 0.35}, {"x": 0.95}]).mean
        >>> bool(mean[0] < mean[1])
        True
    """

    def __init__(
        self,
        *,
        n_networks: int = 5,
        hidden: int = 16,
        min_correlation: float = 0.5,
        seed: int = 0,
    ) -> None:
        if n_networks < 2:
            raise ValueError(
                f"`n_networks` must be at least 2, but got {n_networks=}. With one network no "
                "observation is left to check it on."
            )
        if hidden < 1:
            raise ValueError(f"`hidden` must be at least 1, but got {hidden=}.")
        if not -1.0 <= min_correlation <= 1.0:
            raise ValueError(
                f"`min_correlation` must be in [-1, 1], but got {min_correlation=}. "
                "0.5 is a good start; 1 never trusts the learner."
            )
        self._n_networks = n_networks
        self._hidden = hidden
        self._min_correlation = min_correlation
        self._seed = seed

    def fit(
        self,
        configurations: Sequence[Mapping[str, Any]],
        losses: Iterable[float],
        space: Mapping[str, BaseDistribution],
    ) -> "TrainedMetaLearner":
        """Learn from finished trials.

        Args:
            configurations:
                Parameters by name; parameters that a configuration lacks are conditional.
            losses:
                Their results, lower is better, no NaN. Negate what is maximised.
            space:
                The parameters to learn from.

        Raises:
            ValueError: If there are fewer than two configurations, not as many losses, or a NaN.
        """
        values = np.array(list(losses), dtype=np.float64)
        if len(values) != len(configurations) or len(values) < 2:
            raise ValueError(
                "`configurations` and `losses` must be of one length of at least 2, "
                f"but got {len(configurations)} and {len(values)}."
            )
        if np.isnan(values).any():
            raise ValueError(f"`losses` must hold no NaN, but got {values}. Leave them out.")
        optional = {name for name in space if any(name not in c for c in configurations)}
        encoding = SpaceEncoding(space, optional=optional)
        units = encoding.units(configurations)
        return self.fit_encoded(encoding, units, warp(bound(values)))

    def fit_encoded(
        self, encoding: SpaceEncoding, units: Array, targets: Array
    ) -> "TrainedMetaLearner":
        """Learn from units (n, d) and standardised targets (n,), as samplers have them."""
        rng = np.random.default_rng([self._seed, len(targets)])
        n = len(targets)
        folds = rng.permutation(n) % self._n_networks
        seen = (np.arange(self._n_networks)[:, None] != folds).astype(np.float64)
        features = encoding.features(units)
        networks = train(features, targets, seen, hidden=self._hidden, rng=rng)
        unseen = networks(features)[folds, np.arange(n)]
        correlation = rank_correlation(unseen, targets)
        return TrainedMetaLearner(
            encoding, networks, correlation, correlation >= self._min_correlation
        )


@dataclass(frozen=True)
class TrainedMetaLearner:
    """A learner after training.

    Args:
        encoding: The space it predicts on.
        networks: The ensemble.
        correlation: Spearman's rank correlation on observations left out, in [-1, 1].
        is_trusted: Whether that reaches the learner's `min_correlation`.
    """

    encoding: SpaceEncoding
    networks: Networks
    correlation: float
    is_trusted: bool

    def predict(self, configurations: Sequence[Mapping[str, Any]]) -> Prediction:
        """Return mean and standard deviation of the ensemble, each (n,)."""
        return self.predict_features(self.encoding.features(self.encoding.units(configurations)))

    def predict_features(self, features: Array) -> Prediction:
        """Return the prediction for encoded configurations (n, c)."""
        each = self.networks(features)
        return Prediction(each.mean(axis=0), each.std(axis=0))


def rank_correlation(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation; 0 where one side is constant."""
    ranks = [rankdata(v) - (len(v) + 1) / 2 for v in (a, b)]
    norm = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / norm if norm > 0.0 else 0.0

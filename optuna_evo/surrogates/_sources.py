"""What old studies predict in the space of a new one.

    S sources with n_s observations each, N of them in all, m candidates, d parameters, c columns

All sources share one kernel: its lengths say which parameters matter in problems of this kind, and
are the maximum of the product of the sources' marginal likelihoods (hierarchical maximum
likelihood; the part of deep-kernel transfer, Wistuba and Grabocka 2021, that few sources support).
Each source has its own scale and noise, so one of pure noise predicts nothing anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg import cholesky
from scipy.optimize import minimize

from optuna_evo.surrogates._gp import LENGTH_AT_ONE
from optuna_evo.surrogates._gp import LENGTH_SPREAD
from optuna_evo.surrogates._gp import LOG_BOUNDS
from optuna_evo.surrogates._gp import matern52
from optuna_evo.surrogates._gp import NOISE_BOUNDS
from optuna_evo.surrogates._gp import NOISE_MEDIAN
from optuna_evo.surrogates._gp import NOISE_SPREAD
from optuna_evo.surrogates._gp import squared_distances


Array = NDArray[np.float64]

JITTER = 1e-6
MAX_ITERATIONS = 30
MAX_FIT_SOURCES = 24  # that the lengths are learned from, evenly chosen
NOISE_RATIOS = np.array([1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0])
MAX_CELLS = 400_000  # of a distance matrix at once


@dataclass(frozen=True)
class SourceRows:
    """The observations of one source as rows of the target's features.

    Attributes:
        features:
            What a model sees of the configurations, (n_s, c).
        targets:
            Warped losses with mean 0 and standard deviation 1, (n_s,), lower is better.
        shared:
            Which parameters of the target the source has, (d,). Its predictions do not depend on
            the others.
    """

    features: Array
    targets: Array
    shared: NDArray[np.bool_]


@dataclass(frozen=True)
class SourceModels:
    """The posterior means of all sources, ready to be asked together.

    Attributes:
        log_weights: Logarithms of the shared inverse squared lengths, (d,).
        groups: The parameter of each feature column, (c,).
        features: Rows of all sources, (N, c).
        alpha: What each row adds to its source's mean, (N,).
        starts: The first row of each source, (S,).
        shared: Which parameters each source has, (S, d).
        reliability: How well each source predicts its own rows from the others, (S,): the
            correlation with what was left out.
    """

    log_weights: Array
    groups: NDArray[np.intp]
    features: Array
    alpha: Array
    starts: NDArray[np.intp]
    shared: NDArray[np.bool_]
    reliability: Array

    @property
    def n_sources(self) -> int:
        """The number of sources."""
        return len(self.starts)

    def means(self, features: Array, chosen: Sequence[int] | None = None) -> Array:
        """Return what the sources predict, (m, c) to (m, S): 0 is a source's mean result.

        Args:
            features: Candidates.
            chosen: Indices of the sources to ask; the others' columns are 0.
        """
        out = np.zeros((len(features), self.n_sources))
        ends = np.append(self.starts[1:], len(self.features))
        wanted = range(self.n_sources) if chosen is None else chosen
        for mask in {self.shared[s].tobytes() for s in wanted}:
            same = [s for s in wanted if self.shared[s].tobytes() == mask]
            width = np.sqrt(np.exp(self.log_weights) * self.shared[same[0]])[self.groups]
            rows = np.concatenate([np.arange(self.starts[s], ends[s]) for s in same])
            sizes = np.array([ends[s] - self.starts[s] for s in same])
            firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            known, alpha = self.features[rows] * width, self.alpha[rows]
            step = max(1, MAX_CELLS // len(rows))
            for begin in range(0, len(features), step):
                block = features[begin : begin + step] * width
                effect = matern52(squared_distances(block, known)) * alpha
                out[begin : begin + step, same] = np.add.reduceat(effect, firsts, axis=1)
        return out


def fit_sources(
    sources: Sequence[SourceRows], groups: NDArray[np.intp], active: Array | None = None
) -> SourceModels:
    """Learn the shared lengths, then condition each source on its own rows.

    Args:
        sources: The sources.
        groups: The parameter of each column, (c,).
        active: How many parameters a configuration has that has this one, (d,); None: all d.
    """
    n_params = len(sources[0].shared)
    together = np.full(n_params, float(n_params)) if active is None else active
    log_weights = _shared_log_weights(sources, groups, together)
    alphas, reliability = [], []
    for source in sources:
        width = np.sqrt(np.exp(log_weights) * source.shared)[groups]
        correlation = matern52(squared_distances(source.features * width, source.features * width))
        alpha, left_out = _condition_source(correlation, source.targets)
        alphas.append(alpha)
        reliability.append(_correlation(left_out, source.targets))
    sizes = [len(source.targets) for source in sources]
    return SourceModels(
        log_weights=log_weights,
        groups=groups,
        features=np.concatenate([source.features for source in sources]),
        alpha=np.concatenate(alphas),
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp),
        shared=np.stack([source.shared for source in sources]),
        reliability=np.array(reliability),
    )


def _condition_source(correlation: Array, targets: Array) -> tuple[Array, Array]:
    """Return the weights of the rows, and what is predicted for each from the others, (n,).

    The ratio of noise to signal is the most likely one; leaving one out is eq. 5.12 of Rasmussen
    and Williams 2006.
    """
    values, vectors = np.linalg.eigh(correlation)
    values = np.maximum(values, 0.0)
    projected = vectors.T @ targets
    spectrum = values + NOISE_RATIOS[:, None]
    # with the signal variance at its maximum, sum(p^2 / spectrum) / n
    scale = (projected**2 / spectrum).mean(axis=1)
    likelihood = -0.5 * (len(targets) * np.log(np.maximum(scale, 1e-300)))
    likelihood -= 0.5 * np.log(spectrum).sum(axis=1)
    best = spectrum[likelihood.argmax()]
    alpha = vectors @ (projected / best)
    return alpha, targets - alpha / np.einsum("ij,j,ij->i", vectors, 1.0 / best, vectors)


def _correlation(a: Array, b: Array) -> float:
    """Return the correlation of two vectors; 0 if one of them is constant."""
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-12 else 0.0


def _shared_log_weights(
    sources: Sequence[SourceRows], groups: NDArray[np.intp], active: Array
) -> Array:
    n_params = len(active)
    even = np.linspace(0, len(sources) - 1, min(len(sources), MAX_FIT_SOURCES)).round()
    chosen = [sources[int(i)] for i in even]
    distances = [
        np.stack(
            [
                squared_distances(part, part)
                for part in (s.features[:, groups == j] * s.shared[j] for j in range(n_params))
            ]
        )
        for s in chosen
    ]
    centre = -2.0 * math.log(LENGTH_AT_ONE) - np.log(active)
    mean = np.concatenate([centre, [math.log(NOISE_MEDIAN)]])
    spread = np.array([2.0 * LENGTH_SPREAD] * n_params + [NOISE_SPREAD])
    targets = [s.targets for s in chosen]
    found = minimize(
        _negative_log_posterior,
        mean,
        args=(distances, targets, mean, spread),
        jac=True,
        method="L-BFGS-B",
        bounds=[LOG_BOUNDS] * n_params + [NOISE_BOUNDS],
        options={"maxiter": MAX_ITERATIONS, "ftol": 1e-4},
    )
    return np.asarray(found.x[:-1])


def _negative_log_posterior(
    theta: Array, distances: list[Array], targets: list[Array], mean: Array, spread: Array
) -> tuple[float, Array]:
    weights, noise = np.exp(theta[:-1]), math.exp(theta[-1])
    z = (theta - mean) / spread
    value, gradient = 0.5 * z @ z, z / spread
    for distance, target in zip(distances, targets, strict=True):
        n = len(target)
        root = np.sqrt(5.0 * np.tensordot(weights, distance, axes=1))
        decay = np.exp(-root)
        covariance = (1.0 + root + root * root / 3.0) * decay
        covariance[np.diag_indices(n)] += noise + JITTER
        factor = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
        alpha = inverse @ target
        # the signal variance at its maximum, so that sources of any smoothness share the lengths
        scale = max(float(target @ alpha) / n, 1e-12)
        value += 0.5 * n * math.log(scale) + np.log(np.diag(factor)).sum()
        pull = np.outer(alpha, alpha) / scale - inverse
        slope = pull * (-5.0 / 6.0) * (1.0 + root) * decay
        gradient[:-1] -= 0.5 * weights * np.tensordot(distance, slope, axes=2)
        gradient[-1] -= 0.5 * noise * np.trace(pull)
    return float(value), gradient

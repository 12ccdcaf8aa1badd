"""A Gaussian process that knows what the sources predict, and learns how far to believe them.

    n observations, m candidates, d parameters, c columns, S sources, q draws

The target is  y(x) = const + b * trend(x) + sum_s b_s * (m_s(x) - trend(x)) + g(x) + noise
with m_s the posterior mean of source s, trend = sum_s share_s * m_s, and g a process with the
lengths of the sources as their prior. The coefficients are Gaussian, so all of it is one Gaussian
process with a linear kernel added (Rasmussen and Williams 2006, section 2.7). Marginal likelihood
sets the spread of the coefficients and of g: as evidence grows, what the sources get wrong is
explained by g, and useless sources get weight 0. Shares follow how well a source orders
the target's results, with shrinkage towards equal ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg import cholesky
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from optuna_evo.surrogates._gp import LOG_BOUNDS
from optuna_evo.surrogates._gp import matern52
from optuna_evo.surrogates._gp import NOISE_BOUNDS
from optuna_evo.surrogates._gp import NOISE_MEDIAN
from optuna_evo.surrogates._gp import NOISE_SPREAD
from optuna_evo.surrogates._gp import robust_cholesky
from optuna_evo.surrogates._gp import squared_distances
from optuna_evo.surrogates._sources import SourceModels


Array = NDArray[np.float64]

CONSTANT = 1.0  # standard deviation of the constant
TREND_MEAN = 1.0  # of b, before any evidence
LENGTH_SPREAD = 1.0  # of ln(inverse squared length) around what the sources share
SCALE_MEDIAN = 0.3  # of the variance of g
SCALE_SPREAD = 1.0
TREND_MEDIAN = 0.5  # of the standard deviation of b
DEVIATION_MEDIAN = 0.5  # of the standard deviation of all b_s together
TREND_SPREAD = 0.7
SHARPNESS = 0.5  # of shares, for each observation
MIN_SHARE = 0.02  # of the largest share: below it a source is not asked
MAX_ITERATIONS = 40
JITTER = 1e-8


@dataclass(frozen=True)
class InformedKernel:
    """Inverse squared lengths (d,), variances of g and of the noise, spreads of b and the b_s."""

    weights: Array
    scale: float
    noise: float
    trend: float
    deviation: float


@dataclass(frozen=True)
class InformedPosterior:
    """The process conditioned on observations; it is asked like `Posterior`."""

    kernel: InformedKernel
    models: SourceModels
    shares: Array  # (S,), sum 1
    features: Array  # (n, c)
    linear: Array  # (n, 1 + 1 + S), see `_linear`
    factor: Array  # (n, n), lower
    alpha: Array  # (n,)

    def mean_and_variance(self, candidates: Array) -> tuple[Array, Array]:
        """Return the marginal posterior of candidates (m, c): two arrays (m,)."""
        mean, cross, linear = self._prior(candidates)
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = self.kernel.scale + np.einsum("mk,mk->m", linear, linear)
        variance -= np.einsum("nm,nm->m", half, half)
        return mean + cross.T @ self.alpha, np.maximum(variance, 1e-12)

    def draw(self, candidates: Array, n_draws: int, rng: np.random.Generator) -> Array:
        """Return joint posterior draws at candidates (m, c): one row a draw, (q, m)."""
        mean, cross, linear = self._prior(candidates)
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        covariance = _matern(self.kernel, candidates, candidates, self.models.groups)
        covariance += linear @ linear.T - half.T @ half
        factor = robust_cholesky(covariance, self.kernel.scale)
        white = rng.standard_normal((n_draws, len(candidates)))
        return np.asarray(mean + cross.T @ self.alpha + white @ factor.T)

    def coefficients(self) -> Array:
        """Return the expected coefficient of each source, (S,): 1 in sum if they are right."""
        expected = self.linear.T @ self.alpha  # of unit normals
        trend = TREND_MEAN + self.kernel.trend * expected[1]
        own = self.kernel.deviation * np.sqrt(self.shares) * expected[2:]
        return np.asarray(self.shares * (trend - own.sum()) + own)

    def _prior(self, candidates: Array) -> tuple[Array, Array, Array]:
        means = self.models.means(candidates, np.flatnonzero(self.shares).tolist())
        linear = _linear(means, self.shares, self.kernel.trend, self.kernel.deviation)
        cross = _matern(self.kernel, self.features, candidates, self.models.groups)
        return TREND_MEAN * (means @ self.shares), cross + self.linear @ linear.T, linear


def inform(
    models: SourceModels,
    shares: Array,
    kernel: InformedKernel,
    features: Array,
    targets: Array,
) -> InformedPosterior:
    """Condition on observations (n, c), (n,)."""
    means = models.means(features, np.flatnonzero(shares).tolist())
    # explicit basis functions with Gaussian coefficients: k + h' B h, eq. 2.40
    linear = _linear(means, shares, kernel.trend, kernel.deviation)
    covariance = _matern(kernel, features, features, models.groups) + linear @ linear.T
    covariance[np.diag_indices_from(covariance)] += kernel.noise
    factor = robust_cholesky(covariance, kernel.scale)
    rest = targets - TREND_MEAN * (means @ shares)
    alpha = cho_solve((factor, True), rest)
    return InformedPosterior(kernel, models, shares, features, linear, factor, alpha)


def fit_informed(
    models: SourceModels, shares: Array, features: Array, targets: Array
) -> InformedKernel:
    """Return the most probable hyperparameters for standardised targets (n,)."""
    n_params = len(models.log_weights)
    distances = np.stack(
        [
            squared_distances(f, f)
            for f in (features[:, models.groups == j] for j in range(n_params))
        ]
    )
    means = models.means(features, np.flatnonzero(shares).tolist())
    columns = _linear(means, shares, 1.0, 1.0)
    rest = targets - TREND_MEAN * (means @ shares)
    mean, spread = _priors(models.log_weights)
    bounds = [LOG_BOUNDS] * n_params + [(-6.0, 3.0), NOISE_BOUNDS, (-5.0, 1.5), (-5.0, 1.5)]
    found = minimize(
        _negative_log_posterior,
        mean,
        args=(distances, columns, rest, mean, spread),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": MAX_ITERATIONS, "ftol": 1e-5},
    )
    scale, noise, trend, deviation = np.exp(found.x[n_params:]).tolist()
    return InformedKernel(np.exp(found.x[:n_params]), scale, noise, trend, deviation)


def _linear(means: Array, shares: Array, trend: float, deviation: float) -> Array:
    """Return columns whose products are the linear kernel: constant, trend, deviations."""
    middle = means @ shares
    apart = (means - middle[:, None]) * np.sqrt(shares)
    constant = np.full((len(means), 1), CONSTANT)
    return np.concatenate([constant, trend * middle[:, None], deviation * apart], axis=1)


def _matern(kernel: InformedKernel, a: Array, b: Array, groups: NDArray[np.intp]) -> Array:
    width = np.sqrt(kernel.weights)[groups]
    return kernel.scale * matern52(squared_distances(a * width, b * width))


def _priors(log_weights: Array) -> tuple[Array, Array]:
    """Return mean and spread of [ln w (d,), ln scale, ln noise, ln trend, ln deviation]."""
    medians = [SCALE_MEDIAN, NOISE_MEDIAN, TREND_MEDIAN, DEVIATION_MEDIAN]
    mean = np.concatenate([log_weights, np.log(medians)])
    rest = [SCALE_SPREAD, NOISE_SPREAD, TREND_SPREAD, TREND_SPREAD]
    return mean, np.concatenate([np.full(len(log_weights), LENGTH_SPREAD), rest])


def _negative_log_posterior(
    theta: Array, distances: Array, columns: Array, targets: Array, mean: Array, spread: Array
) -> tuple[float, Array]:
    weights = np.exp(theta[:-4])
    scale, noise, trend, deviation = np.exp(theta[-4:])
    n = len(targets)
    root = np.sqrt(5.0 * np.tensordot(weights, distances, axes=1))
    decay = np.exp(-root)
    signal = scale * (1.0 + root + root * root / 3.0) * decay
    along = trend * trend * np.outer(columns[:, 1], columns[:, 1])
    apart = deviation * deviation * (columns[:, 2:] @ columns[:, 2:].T)
    covariance = signal + along + apart + CONSTANT * CONSTANT
    covariance[np.diag_indices(n)] += noise + JITTER
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
    alpha = inverse @ targets
    z = (theta - mean) / spread
    value = 0.5 * targets @ alpha + np.log(np.diag(factor)).sum() + 0.5 * z @ z
    pull = np.outer(alpha, alpha) - inverse
    slope = pull * (-5.0 / 6.0 * scale) * (1.0 + root) * decay
    by_weight = weights * np.tensordot(distances, slope, axes=2)
    others = [
        (pull * signal).sum(),
        noise * np.trace(pull),
        2.0 * (pull * along).sum(),
        2.0 * (pull * apart).sum(),
    ]
    gradient = -0.5 * np.concatenate([by_weight, others]) + z / spread
    return float(value), gradient


def source_shares(means: Array, targets: Array, prior: Array | None = None) -> Array:
    """Return how much each source is to be believed relative to the others, (S,), sum 1.

    The logarithm of a share falls with the number of pairs of results that the source orders
    wrongly, each pair counted by how far its results lie apart; pairs repeat each other's
    evidence, so their number counts as that of the results.

    Args:
        means: What the sources predict for the observations, (n, S).
        targets: Standardised results, (n,).
        prior: Shares before any evidence, (S,); None for equal ones.
    """
    n, n_sources = means.shape
    start = np.full(n_sources, 1.0 / n_sources) if prior is None else prior
    if n < 2:
        return np.asarray(start / start.sum())
    gaps = targets[:, None] - targets[None, :]
    upper = np.triu_indices(n, 1)
    weight = np.abs(gaps[upper])
    if weight.sum() <= 0.0:
        return np.asarray(start / start.sum())
    order = np.sign(gaps[upper])
    predicted = means[upper[0]] - means[upper[1]]
    wrong = (np.sign(predicted) != order[:, None]).astype(np.float64)
    loss = (weight[:, None] * wrong).sum(axis=0) / weight.sum()
    log_share = np.log(start) - SHARPNESS * n * (loss - loss.min())
    share = np.exp(log_share - log_share.max())
    share[share < MIN_SHARE * share.max()] = 0.0
    return np.asarray(share / share.sum())

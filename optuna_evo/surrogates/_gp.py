"""A Gaussian process over encoded configurations, and draws from its posterior.

    n observations, m candidates, d parameters, c feature columns, q draws

The kernel is a Matern-5/2 over sum_j w_j * dist_j(x, x')^2 with one inverse squared length w_j a
parameter. For a category dist_j is 0 or 1, so the effects of its choices are exchangeable Gaussian
arms: the conjugate hierarchical model, in which a choice that was never tried is predicted from
those that were, with their spread, and w_j says how much is pooled between them.

Hyperparameters are the maximum of the marginal likelihood times weak priors; the gradient is
exact. Equation numbers are those of Rasmussen and Williams 2006. The prior of the lengths grows
with the square root of d (Hvarfner, Hellsten and Nardi 2024), the number of parameters that a
configuration has: each branch of a conditional space is learned as a space of its own.
"""

from dataclasses import dataclass
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg import cholesky
from scipy.linalg import solve_triangular
from scipy.optimize import minimize


Array = NDArray[np.float64]

LENGTH_AT_ONE = 0.5  # median length of a one-parameter space, in units of its range
LENGTH_SPREAD = 1.0  # standard deviation of ln(length)
SCALE_SPREAD = 1.0  # of ln(signal variance), around ln 1
NOISE_MEDIAN = 1e-3  # of the unit signal variance
NOISE_SPREAD = 1.5
SMALL_NOISE = 1e-4  # where the second climb to the most probable hyperparameters begins
LOG_BOUNDS = (-9.0, 7.0)
NOISE_BOUNDS = (math.log(1e-6), 0.0)
JITTER = 1e-8
MAX_ITERATIONS = 40


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters: inverse squared lengths (d,), signal variance, noise variance."""

    weights: Array
    scale: float
    noise: float

    def __call__(self, a: Array, b: Array, groups: NDArray[np.intp]) -> Array:
        """Return the covariance of two sets of feature rows, (n, c) and (m, c) to (n, m)."""
        width = np.sqrt(self.weights)[groups]
        return self.scale * matern52(squared_distances(a * width, b * width))


class Predictive(Protocol):
    """What can be asked about candidates: their marginal posterior, and joint draws."""

    def mean_and_variance(self, candidates: Array) -> tuple[Array, Array]:
        """Return the marginal posterior of candidates (m, c): two arrays (m,)."""
        ...

    def draw(self, candidates: Array, n_draws: int, rng: np.random.Generator) -> Array:
        """Return joint posterior draws at candidates (m, c): one row a draw, (q, m)."""
        ...


@dataclass(frozen=True)
class Posterior:
    """A fitted process: the observations, and the Cholesky factor of their covariance."""

    kernel: Kernel
    groups: NDArray[np.intp]
    features: Array  # (n, c)
    factor: Array  # (n, n), lower
    alpha: Array  # (n,)

    def mean_and_variance(self, candidates: Array) -> tuple[Array, Array]:
        """Return the marginal posterior of candidates (m, c): two arrays (m,)."""
        cross = self.kernel(self.features, candidates, self.groups)
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = self.kernel.scale - np.einsum("nm,nm->m", half, half)  # eq. 2.26
        return cross.T @ self.alpha, np.maximum(variance, 1e-12)  # eq. 2.25

    def draw(self, candidates: Array, n_draws: int, rng: np.random.Generator) -> Array:
        """Return joint posterior draws at candidates (m, c): one row a draw, (q, m)."""
        cross = self.kernel(self.features, candidates, self.groups)
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        covariance = self.kernel(candidates, candidates, self.groups) - half.T @ half  # eq. 2.24
        factor = robust_cholesky(covariance, self.kernel.scale)
        white = rng.standard_normal((n_draws, len(candidates)))
        return np.asarray(cross.T @ self.alpha + white @ factor.T)


def fit_kernel(
    features: Array,
    targets: Array,
    groups: NDArray[np.intp],
    *,
    noise: tuple[float, float] = (NOISE_MEDIAN, NOISE_SPREAD),
    active: Array | None = None,
) -> Kernel:
    """Return the most probable hyperparameters for standardised targets (n,).

    Args:
        features: Of the observations, (n, c).
        targets: What was observed, (n,).
        groups: The parameter of each column, (c,).
        noise: Before anything is seen, the median of the noise variance and the standard deviation
            of its logarithm.
        active: How many parameters a configuration has that has this one, (d,): the length of a
            parameter grows with the number of those that it acts with. None: all d.
    """
    n_params = int(groups.max()) + 1
    distances = np.stack(
        [squared_distances(f, f) for f in (features[:, groups == j] for j in range(n_params))]
    )
    together = np.full(n_params, float(n_params)) if active is None else active
    prior_mean, prior_spread = _priors(together, noise)
    low, high = LOG_BOUNDS
    bounds = [(low, high)] * n_params + [(-4.0, 4.0), NOISE_BOUNDS]
    # Few results may be all noise, or a signal without any: a climb finds one of the two.
    almost_none = np.concatenate([prior_mean[:-1], [math.log(SMALL_NOISE)]])
    found = min(
        (
            minimize(
                _negative_log_posterior,
                start,
                args=(distances, targets, prior_mean, prior_spread),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": MAX_ITERATIONS, "ftol": 1e-5},
            )
            for start in (prior_mean, almost_none)
        ),
        key=lambda result: float(result.fun),
    )
    return Kernel(np.exp(found.x[:-2]), math.exp(found.x[-2]), math.exp(found.x[-1]))


def condition(
    kernel: Kernel, features: Array, targets: Array, groups: NDArray[np.intp]
) -> Posterior:
    """Condition the process on observations (n, c), (n,)."""
    covariance = kernel(features, features, groups)
    covariance[np.diag_indices_from(covariance)] += kernel.noise
    factor = robust_cholesky(covariance, kernel.scale)
    return Posterior(kernel, groups, features, factor, cho_solve((factor, True), targets))


def matern52(squared: Array) -> Array:
    """Return the Matern-5/2 correlation at squared distances, eq. 4.17."""
    root = np.sqrt(5.0 * squared)
    return np.asarray((1.0 + root + root * root / 3.0) * np.exp(-root))


def squared_distances(a: Array, b: Array) -> Array:
    """Return squared Euclidean distances between rows, (n, c) and (m, c) to (n, m)."""
    norms = np.einsum("ic,ic->i", a, a)[:, None] + np.einsum("ic,ic->i", b, b)
    return np.asarray(np.maximum(norms - 2.0 * (a @ b.T), 0.0))


def _priors(active: Array, noise: tuple[float, float]) -> tuple[Array, Array]:
    """Return mean and spread of [ln w (d,), ln scale, ln noise]."""
    log_weights = -2.0 * math.log(LENGTH_AT_ONE) - np.log(active)
    mean = np.concatenate([log_weights, [0.0, math.log(noise[0])]])
    spread = np.array([2.0 * LENGTH_SPREAD] * len(active) + [SCALE_SPREAD, noise[1]])
    return mean, spread


def _negative_log_posterior(
    theta: Array, distances: Array, targets: Array, prior_mean: Array, prior_spread: Array
) -> tuple[float, Array]:
    weights, scale, noise = np.exp(theta[:-2]), math.exp(theta[-2]), math.exp(theta[-1])
    n = len(targets)
    root = np.sqrt(5.0 * np.tensordot(weights, distances, axes=1))
    decay = np.exp(-root)
    covariance = scale * (1.0 + root + root * root / 3.0) * decay
    signal = covariance.copy()
    covariance[np.diag_indices(n)] += noise + JITTER * scale
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
    alpha = inverse @ targets
    z = (theta - prior_mean) / prior_spread
    # eq. 5.8 without its constant, and the priors
    value = 0.5 * targets @ alpha + np.log(np.diag(factor)).sum() + 0.5 * z @ z
    pull = np.outer(alpha, alpha) - inverse  # of eq. 5.9: tr(pull dK) / 2
    # d k / d squared distance = -5/6 * scale * (1 + root) * exp(-root)
    slope = pull * (-5.0 / 6.0 * scale) * (1.0 + root) * decay
    by_weight = weights * np.tensordot(distances, slope, axes=2)
    by_scale, by_noise = (pull * signal).sum(), noise * np.trace(pull)
    gradient = -0.5 * np.concatenate([by_weight, [by_scale, by_noise]]) + z / prior_spread
    return float(value), gradient


def robust_cholesky(matrix: Array, scale: float) -> Array:
    """Factorise, with as little added to the diagonal as it takes."""
    jitter = JITTER
    while True:
        try:
            bump = np.eye(len(matrix)) * (jitter * scale)
            return np.asarray(cholesky(matrix + bump, lower=True, check_finite=False))
        except np.linalg.LinAlgError:
            jitter *= 10.0
            if jitter > 1.0:
                raise

"""The expected improvement on the best result so far."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm


Array = NDArray[np.float64]


def log_expected_improvement(mean: Array, spread: Array, best: float) -> Array:
    """Return ln E[max(best - f, 0)] for f ~ N(mean, spread^2), finite far from the best."""
    # ln of s * (z * Phi(z) + phi(z)), eq. 15 of Jones, Schonlau and Welch 1998
    z = (best - mean) / spread
    # For z << 0, phi(z) + z * Phi(z) underflows; its expansion is phi(z) / z^2.
    near = norm.pdf(z) + z * norm.cdf(z)
    far = norm.logpdf(z) - 2.0 * np.log(np.maximum(np.abs(z), 1.0))
    safe = z > -6.0
    return np.log(spread) + np.where(safe, np.log(np.where(safe, near, 1.0)), far)

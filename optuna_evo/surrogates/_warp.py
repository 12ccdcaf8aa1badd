"""Objective values on the scale on which a surrogate learns.

Values of training runs are skewed: most of the space is bad by orders of magnitude, and what
decides lies within a per cent of the best. Ordering is kept, differences near the best are spread.
"""

import numpy as np
from numpy.typing import NDArray


Array = NDArray[np.float64]
FLOOR = 0.1  # of (median - best): how close to the best two values still are told apart


def warp(losses: Array, *, distinct: bool = False) -> Array:
    """Return ln(loss - best + floor), standardised; zeros if all losses are equal.

    Args:
        losses: Finite values (see `bound`), lower is better.
        distinct: Take median, mean and standard deviation over the different values. On a plateau
            equal values pile up and would otherwise pull the scale down to themselves.
    """
    reference = np.unique(losses) if distinct else losses
    best = reference.min()
    spread = np.median(reference) - best
    if spread <= 0.0:
        spread = reference.mean() - best
    if spread <= 0.0:
        return np.zeros(len(losses))
    logs = np.log((reference - best) / spread + FLOOR)
    return np.asarray((np.log((losses - best) / spread + FLOOR) - logs.mean()) / logs.std())


def standardise(values: Array) -> Array:
    """Return values with mean 0 and standard deviation 1; zeros if they are all equal."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0.0 else np.zeros(len(values))


def bound(losses: Array) -> Array:
    """Replace infinite losses by just beyond the worst finite one, -inf by just below the best."""
    finite = losses[np.isfinite(losses)]
    if len(finite) == 0:
        return np.where(losses > 0, 1.0, 0.0)
    margin = 0.1 * (finite.max() - finite.min()) or 1.0
    return np.clip(losses, finite.min() - margin, finite.max() + margin)

"""Objective values on the scale on which a surrogate learns.

Values of training runs are skewed: most of the space is bad by orders of magnitude, and what
decides lies within a per cent of the best. Ordering is kept, differences near the best are spread.
"""

import numpy as np
from numpy.typing import NDArray


Array = NDArray[np.float64]
HUGE = 1e300  # what is beyond says "could not compute", as infinity does, and sums of it overflow
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
    logs = _log_gap(reference, best, spread)
    return np.asarray((_log_gap(losses, best, spread) - logs.mean()) / logs.std())


def warp_around(losses: Array, best: float, *, distinct: bool = False) -> Array:
    """Return the same where some losses are lower than the best one that counts.

    What is lower, of infeasible trials, is mirrored at it: differences are spread where the search
    goes on, and the slope there is known from both sides.

    Args:
        losses: Finite values (see `bound`), lower is better.
        best: The best value that counts, among them.
        distinct: As in `warp`.
    """
    reference = np.unique(losses) if distinct else losses
    spread = float(np.median(np.abs(reference - best))) or float(np.abs(reference - best).mean())
    if spread == 0.0:
        return np.zeros(len(losses))
    logs, gaps = (
        np.sign(part) * (_log_gap(np.abs(part), 0.0, spread) - np.log(FLOOR))
        for part in (reference - best, losses - best)
    )
    return np.asarray((gaps - logs.mean()) / logs.std())


def _log_gap(losses: Array, best: float, spread: float) -> Array:
    with np.errstate(over="ignore"):  # losses may span more orders of magnitude than floats have
        ratio = np.minimum((losses - best) / spread, HUGE)
    return np.asarray(np.log(ratio + FLOOR))


def standardise(values: Array) -> Array:
    """Return values with mean 0 and standard deviation 1; zeros if they are all equal."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0.0 else np.zeros(len(values))


def is_ordinary(value: float) -> bool:
    """Tell whether a value is a result: neither NaN, infinite nor as good as infinite."""
    return abs(value) < HUGE


def bound(losses: Array) -> Array:
    """Replace infinite losses by just beyond the worst finite one, -inf by just below the best.

    Values beyond `HUGE` count as infinite.
    """
    finite = losses[np.abs(losses) < HUGE]
    if len(finite) == 0:
        return np.where(losses > 0, 1.0, 0.0)
    margin = 0.1 * (finite.max() - finite.min()) or 1.0
    return np.clip(losses, finite.min() - margin, finite.max() + margin)

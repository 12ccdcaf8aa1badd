"""Which observations a model is fitted to and conditioned on, so that an ask is bounded."""

import math

import numpy as np
from numpy.typing import NDArray


Array = NDArray[np.float64]

MAX_ROWS = 256  # observations that the posterior is conditioned on
MAX_FIT_ROWS = 96  # observations that the kernel is fitted to
REFIT_ALWAYS_UP_TO = 30
REFIT_GROWTH = 1.1  # above that: only after this growth of the study


def spread_rows(merits: Array, limit: int) -> NDArray[np.intp]:
    """Return at most `limit` rows, of those with the lowest merits half of them.

    A quarter are the latest of all, and the rest evenly spread over the others.
    """
    n = len(merits)
    if n <= limit:
        return np.arange(n)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.argsort(merits, kind="stable")[: limit // 2]] = True
    chosen[n - limit // 4 :] = True
    others = np.flatnonzero(~chosen)
    n_more = min(limit - int(chosen.sum()), len(others))
    chosen[others[np.linspace(0, len(others) - 1, n_more).astype(np.intp)]] = True
    return np.flatnonzero(chosen)


def fit_size(n: int, *, between: bool = False) -> int:
    """Return how many observations the kernel in use at n is fitted to.

    Args:
        n: Number of observations.
        between: For a second model, so that no ask fits both.
    """
    start = REFIT_ALWAYS_UP_TO * (math.sqrt(REFIT_GROWTH) if between else 1.0)
    if n <= start:
        return n
    steps = math.floor(math.log(n / start) / math.log(REFIT_GROWTH))
    return min(n, math.floor(start * REFIT_GROWTH**steps))

"""Means with 95 % intervals: Student's, and a studentised bootstrap for skewed values.

Which bootstrap: coverage in % of 95 % intervals on 10 values, 4,000 simulated sets each, of the
last row 10,000 (tests/evaluation/test_interval.py repeats it):

                         normal  uniform  exponential  log-normal  t(3)  Laplace  tasks of 6 scales
    Student's t            94.9     94.1         90.2        92.7  96.7     95.6               92.3
    percentile             90.0     90.5         86.3        87.5  89.6     89.0               87.8
    BCa                    89.6     92.5         87.5        87.8  86.3     86.2               88.2
    bootstrap-t            94.7     97.1         94.1        94.0  93.1     92.5               93.9
    symmetric bootstrap-t  96.1     95.9         93.0        94.2  97.6     97.1               93.8
    mean of the last two   95.7     97.2         94.3        93.9  96.0     96.1               94.6

The equal-tailed bootstrap-t follows skewness and follows it too far where tails are heavy; the
symmetric one does not follow it at all. The mean of their quantiles is within 1.5 of 95 on all but
values without tails, where it is too wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats


__all__ = ["CONFIDENCE", "Interval", "studentised"]

CONFIDENCE = 0.95
# With fewer values a resample of few different ones decides the quantiles: at 5 the coverage on
# normal values is 97.3 and the width 1.4 times Student's.
_LEAST_TO_RESAMPLE = 8
_RESAMPLES = 10_000  # ends of 10 values move by some 1 % of the width with another seed

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with a two-sided 95 % interval, whose ends are NaN for a single value."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the ends."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie on one side of 0; a single value excludes nothing."""
        return self.low > 0 or self.high < 0

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Return Student's interval of independent values."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan, math.nan)
        # Student: mean ± t(n - 1) * s / sqrt(n); with five seeds t is 2.78, not 1.96
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
        return cls(mean, mean - half, mean + half)

    @classmethod
    def bootstrap(cls, values: Sequence[float], *, seed: int = 0) -> "Interval":
        """Return the studentised bootstrap interval of independent values.

        It holds for skewed and heavy-tailed values too, from 8 values on; of fewer, and of
        values most of which are one number, it is Student's.

        Args:
            values: Finite numbers.
            seed: Of the resampling: the same values and seed give the same interval.

        Raises:
            ValueError: If there is no value, or one is not finite.

        Example:
            >>> Interval.bootstrap([0.91, 0.93, 0.90, 0.97, 0.92, 0.95, 0.91, 0.94]).half_width
            0.02...
        """
        rows = np.asarray(values, dtype=float)
        if not len(rows) or not np.isfinite(rows).all():
            raise ValueError(f"An interval needs finite values, got {list(values)!r}.")
        if len(rows) < _LEAST_TO_RESAMPLE:
            return cls.of(values)
        low, high = studentised(rows[None], seed=seed)[0]
        if not math.isfinite(low) or not math.isfinite(high):
            return cls.of(values)
        return cls(float(rows.mean()), float(low), float(high))


def studentised(rows: Rows, *, seed: int = 0, resamples: int = _RESAMPLES) -> Rows:
    """Return the ends of the bootstrap interval of each row, (rows, 2).

    An end is infinite where too many resamples of a row are of one number.

    Args:
        rows: Sets of values, one in each row.
        seed: Of the resampling, which is the same for all rows.
        resamples: How many.
    """
    n = rows.shape[1]
    scales = np.ptp(rows, axis=1, keepdims=True)
    varies = scales > 0
    # rounding puts the mean of a row of one number beside it
    means = np.where(varies, rows.mean(axis=1, keepdims=True), rows[:, :1])
    away = (rows - means) / np.where(varies, scales, 1.0)
    shares = _resamples(n, seed, resamples)
    moved = away @ shares.T
    variances = (away * away) @ shares.T - moved * moved
    spread = variances > 1e-12  # of 1, the range of a row: less is rounding
    errors = np.sqrt(np.where(spread, variances, 1.0) / (n - 1))
    t = np.where(spread | (moved == 0), moved / errors, np.copysign(np.inf, moved))
    tail = (1 - CONFIDENCE) / 2
    # no interpolation: between a number and infinity it would be NaN
    below, above = np.quantile(t, (tail, 1 - tail), axis=1, method="inverted_cdf")
    both = np.quantile(np.abs(t), CONFIDENCE, axis=1, method="inverted_cdf")
    error = scales * np.sqrt((away * away).sum(axis=1, keepdims=True) / n / (n - 1))
    return np.asarray(means - error * np.stack([above + both, below - both], axis=1) / 2)


@functools.lru_cache(maxsize=8)
def _resamples(n: int, seed: int, number: int) -> Rows:
    rng = np.random.default_rng([seed, n])
    return rng.multinomial(n, np.full(n, 1 / n), size=number) / n

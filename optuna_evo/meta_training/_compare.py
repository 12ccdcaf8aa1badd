"""Paired comparison of two optimizers over tasks, with intervals."""

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


__all__ = ["compare", "Comparison"]

_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the losses of one optimizer stand to those of another on the same tasks.

    Args:
        mean: Mean loss of the first.
        other_mean: Mean loss of the second.
        ratio: `mean` / `other_mean`.
        ratio_interval: Its 95 % interval, by paired bootstrap over tasks.
        difference: Mean of the paired differences, first minus second.
        difference_interval: Its 95 % interval, Student's t over tasks.
        n_tasks: Number of tasks.
    """

    mean: float
    other_mean: float
    ratio: float
    ratio_interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    n_tasks: int

    @property
    def is_better(self) -> bool:
        """Whether the first has the lower loss, and the interval excludes 0."""
        return self.difference_interval[1] < 0


def compare(losses: ArrayLike, others: ArrayLike) -> Comparison:
    """Compare the losses of two optimizers, (M,) each, the same task at the same place.

    Raises:
        ValueError: If there are fewer than 2 tasks, or the numbers of losses differ.

    Example:
        >>> compare([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).ratio
        0.5
    """
    a, b = np.asarray(losses, dtype=float), np.asarray(others, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"A comparison needs two equal numbers of losses, at least 2, got {a.shape} and "
            f"{b.shape}."
        )
    d, n = a - b, len(a)
    half = float(stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / math.sqrt(n))
    rows = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    ratios = a[rows].mean(1) / b[rows].mean(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Comparison(
        mean=float(a.mean()),
        other_mean=float(b.mean()),
        ratio=float(a.mean() / b.mean()),
        ratio_interval=(float(low), float(high)),
        difference=float(d.mean()),
        difference_interval=(float(d.mean()) - half, float(d.mean()) + half),
        n_tasks=n,
    )

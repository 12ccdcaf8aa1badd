"""What learning curves say: how fast, how good in the end, how stable, and where they are heading.

Curves are losses, lower is better; those of rewards are negated first. Pure functions of numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Final
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optuna_evo.curves._divergence import has_diverged
from optuna_evo.curves._divergence import recent_losses


__all__ = [
    "analyse",
    "CurveAnalysis",
    "final_performance",
    "smoothed",
    "spikes",
    "steps_to_target",
    "Trend",
    "trend",
]

_SPIKE: Final = 5.0  # robust standard deviations above the median of the steps before
_BEFORE: Final = 10  # steps
_TO_SIGMA: Final = 1.4826  # a median absolute deviation of normal numbers is sigma / 1.4826
_Z: Final = 1.96


def smoothed(values: Sequence[float], span: float = 10.0) -> NDArray[np.float64]:
    """Return an exponential average without bias towards its beginning.

    A weight falls to 1 / e over about `span` / 2 steps: alpha = 2 / (span + 1), and weights are
    divided by their sum. Values that are not finite are left out; where nothing was finite yet,
    NaN.

    Args:
        values: A curve, (n,).
        span: >= 1; 1: the values themselves.

    Example:
        >>> smoothed([1.0, 1.0, 4.0], span=3).round(3).tolist()
        [1.0, 1.0, 2.714]
    """
    if not span >= 1:
        raise ValueError(f"`span` must be at least 1, got {span}.")
    keep = 1 - 2 / (span + 1)
    total = weight = 0.0
    found = []
    for value in values:
        total, weight = keep * total, keep * weight
        if math.isfinite(value):
            total, weight = total + value, weight + 1
        found.append(total / weight if weight else math.nan)
    return np.array(found)


def steps_to_target(
    losses: Sequence[float], target: float, *, steps: Sequence[int] | None = None, span: float = 1
) -> int | None:
    """Return the first step at which the smoothed curve is at the target or below; None: never.

    Args:
        losses: A curve, (n,).
        target: A loss.
        steps: The step of each, (n,); None: 1, 2, ….
        span: As of `smoothed`.

    Example:
        >>> steps_to_target([3.0, 2.0, 1.0], 2.0)
        2
    """
    reached = np.flatnonzero(smoothed(losses, span) <= target)
    if not len(reached):
        return None
    first = int(reached[0])
    return first + 1 if steps is None else int(steps[first])


def final_performance(losses: Sequence[float], *, last: int = 10) -> float:
    """Return the mean of the last losses; infinity if one of them is not finite.

    Args:
        losses: A curve.
        last: How many of its losses, >= 1; fewer, if it has fewer.

    Example:
        >>> final_performance([9.0, 2.0, 4.0], last=2)
        3.0
    """
    end = np.asarray(losses, dtype=np.float64)[-last:]
    return float(end.mean()) if len(end) and np.isfinite(end).all() else math.inf


def spikes(losses: Sequence[float], *, size: float = _SPIKE, before: int = _BEFORE) -> list[int]:
    """Return the steps, counted from 1, at which a curve jumps up.

    A spike is more than `size` robust standard deviations (median absolute deviation times
    1.4826) above the median of the `before` steps before it, and more than 10 % above that median;
    a value that is not finite is one.

    Args:
        losses: A curve.
        size: In standard deviations, > 0.
        before: How many steps, >= 3; earlier steps have no spikes.

    Example:
        >>> spikes([1.0, 1.1, 0.9, 1.0, 7.0, 1.0], before=4)
        [5]
    """
    values = np.asarray(losses, dtype=np.float64)
    found = []
    for i in range(before, len(values)):
        window = values[i - before : i]
        window = window[np.isfinite(window)]
        if not np.isfinite(values[i]):
            found.append(i + 1)
        elif len(window):
            middle = float(np.median(window))
            sigma = _TO_SIGMA * float(np.median(np.abs(window - middle)))
            if values[i] > middle + max(size * sigma, 0.1 * abs(middle)):
                found.append(i + 1)
    return found


@dataclass(frozen=True)
class Trend:
    """Where a curve is heading.

    Args:
        direction: "falling", "rising", or "flat" where a Mann-Kendall test at 5 % sees neither.
        slope: Change a step, Theil and Sen's median of the slopes of all pairs.
        z: The test's normal score; negative: falling.
    """

    direction: Literal["falling", "rising", "flat"]
    slope: float
    z: float


def trend(values: Sequence[float], *, last: int | None = None) -> Trend:
    """Return the trend of a curve, by Mann and Kendall's test with its correction for ties.

    Args:
        values: A curve; values that are not finite are left out.
        last: Of how many of the last values; None: all.

    Example:
        >>> trend([5.0, 4.0, 3.5, 3.0, 2.0]).direction
        'falling'
    """
    y = np.asarray(values, dtype=np.float64)
    y = y if last is None else y[-last:]
    x = np.flatnonzero(np.isfinite(y)).astype(np.float64)
    y = y[np.isfinite(y)]
    n = len(y)
    if n < 3:
        return Trend("flat", 0.0, 0.0)
    earlier, later = np.triu_indices(n, 1)
    rise = y[later] - y[earlier]
    slope = float(np.median(rise / (x[later] - x[earlier])))
    s = float(np.sign(rise).sum())
    ties = np.unique(y, return_counts=True)[1].astype(np.float64)
    variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    z = (s - math.copysign(1.0, s)) / math.sqrt(variance) if s and variance > 0 else 0.0
    if abs(z) < _Z:
        return Trend("flat", slope, z)
    return Trend("rising" if z > 0 else "falling", slope, z)


@dataclass(frozen=True, kw_only=True)
class CurveAnalysis:
    """Convergence speed, final performance and stability of an optimizer over several runs.

    Args:
        steps_to_target: Median over runs of the steps to the target; runs that never reach it
            count as infinite.
        share_reached: Share of runs that reach it.
        final: Median of the final performance over runs.
        spread: Interquartile range of the final performance over the runs that did not diverge.
        spikes: Mean number of spikes a run.
        diverged_share: Share of runs that exploded (see `has_diverged`) or end not finite.
        trend: Of the median of smoothed curves over the last half.
    """

    steps_to_target: float
    share_reached: float
    final: float
    spread: float
    spikes: float
    diverged_share: float
    trend: Trend


def analyse(
    curves: Sequence[Sequence[float]], *, target: float, last: int = 10, span: float = 10.0
) -> CurveAnalysis:
    """Analyse the curves of several runs, such as seeds or tasks.

    Args:
        curves: Losses, (runs, n).
        target: What "converged" means.
        last: As of `final_performance`.
        span: As of `smoothed`.

    Raises:
        ValueError: If there is no run.

    Example:
        >>> analyse([[2.0, 1.0], [2.0, 1.5]], target=1.2, last=1, span=1).share_reached
        0.5
    """
    if not len(curves):
        raise ValueError("There must be a curve to analyse.")
    reached = [steps_to_target(curve, target, span=span) for curve in curves]
    finals = np.array([final_performance(curve, last=last) for curve in curves])
    diverged = ~np.isfinite(finals) | np.array([_has_exploded(curve) for curve in curves])
    kept = finals[~diverged]
    lower, upper = np.quantile(kept, [0.25, 0.75]) if len(kept) else (math.nan, math.nan)
    typical = np.median([smoothed(curve, span) for curve in curves], axis=0)
    return CurveAnalysis(
        steps_to_target=_median([math.inf if r is None else r for r in reached]),
        share_reached=sum(r is not None for r in reached) / len(reached),
        final=_median(list(finals)),
        spread=float(upper - lower),
        spikes=float(np.mean([len(spikes(curve)) for curve in curves])),
        diverged_share=float(diverged.mean()),
        trend=trend(list(typical), last=max(3, len(typical) // 2)),
    )


def _has_exploded(curve: Sequence[float]) -> bool:
    return has_diverged(curve, window=recent_losses(len(curve), is_over=True))


def _median(values: Sequence[float]) -> float:
    """Return the lower median: infinite values have no mean with others."""
    return float(sorted(values)[(len(values) - 1) // 2])

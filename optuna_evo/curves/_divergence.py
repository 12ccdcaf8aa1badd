"""When a run has diverged: one rule for training losses and for reported values."""

from collections.abc import Sequence
import math
from typing import Literal


__all__ = ["DEFAULT_FACTOR", "has_diverged"]

# Ten times the first loss of a classifier over k classes, ln k, is far beyond every healthy run.
DEFAULT_FACTOR = 10.0


def has_diverged(
    values: Sequence[float],
    *,
    direction: Literal["minimize", "maximize"] = "minimize",
    factor: float | None = DEFAULT_FACTOR,
) -> bool:
    """Tell whether the last value shows that a run has diverged.

    It has if the last value is NaN or infinite, or if it *exploded*: it is worse than the best
    earlier value by more than `factor` times the scale of the run. The scale is the largest of the
    sizes of the first and the best value and the distance between them, so that a loss that fell
    from 2.3 to 0.01 may rise to 0.5 again, and values may be negative.

    Args:
        values:
            Values in the order of time. Only the first, the best and the last count: a long run
            may pass these three. Values that are not finite before the last are left out. No
            values: not diverged.
        direction:
            "minimize" if lower values are better, as for losses.
        factor:
            How many times the scale a value may be worse than the best, > 0; None: only NaN and
            infinite values are divergence.

    Returns:
        Whether the run has diverged. A run whose earlier values are all 0 has no scale: only NaN
        and infinite values count.

    Raises:
        ValueError: If `direction` or `factor` is not one of the allowed values.

    Example:
        >>> has_diverged([2.3, 0.4, 31.0])
        True
        >>> has_diverged([0.1, 0.8, 0.7], direction="maximize")
        False
    """
    if direction not in ("minimize", "maximize"):
        raise ValueError(f'`direction` must be "minimize" or "maximize", got {direction!r}.')
    if factor is not None and not 0.0 < factor < math.inf:
        raise ValueError(f"`factor` must be positive and finite, or None; got {factor}.")
    if not values:
        return False
    sign = -1.0 if direction == "maximize" else 1.0
    last = sign * values[-1]
    if not math.isfinite(last):
        return True
    earlier = [sign * value for value in values[:-1] if math.isfinite(value)]
    if factor is None or not earlier:
        return False
    first, best = earlier[0], min(earlier)
    scale = max(abs(first), abs(best), first - best)
    return scale > 0.0 and last - best > factor * scale

"""Places in a range and grids of steps, for any range of floats: up to its ends nothing overflows.

All is computed at half its size: the width of [-1e308, 1e308] is no float, half of it is. Halving
and doubling are exact, so that ordinary ranges give the same bits as the plain formulas.
"""

from typing import Final
from typing import overload

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution


__all__ = ["grid_index", "grid_value", "interpolate", "locate", "n_grid_levels"]

Array = NDArray[np.float64]

MAX_GRID_LEVELS: Final = 2.0**53  # a finer grid is finer than the floats themselves


@overload
def locate(value: float, low: float, high: float) -> float: ...


@overload
def locate(value: Array, low: float, high: float) -> Array: ...


def locate(value: float | Array, low: float, high: float) -> float | Array:
    """Return where a value lies in a range, (value - low) / (high - low)."""
    width = 0.5 * high - 0.5 * low
    # a range of two neighbouring subnormal numbers has no width at half its size
    return (0.5 * value - 0.5 * low) / width if width > 0.0 else 0.0 * value + 0.5


def interpolate(unit: float, low: float, high: float) -> float:
    """Return low + unit * (high - low), inside the range."""
    value = 2.0 * (0.5 * low + unit * (0.5 * high - 0.5 * low))
    return min(max(value, low), high)


def n_grid_levels(distribution: FloatDistribution) -> int | None:
    """Return how many values a range with steps has; None: as good as continuous."""
    if distribution.step is None:
        return None
    steps = 2.0 * ((0.5 * distribution.high - 0.5 * distribution.low) / distribution.step)
    return round(steps) + 1 if steps < MAX_GRID_LEVELS else None


def grid_index(value: float, distribution: FloatDistribution) -> int:
    """Return the index of the grid point nearest to a value of the range."""
    assert distribution.step is not None
    return round(2.0 * ((0.5 * value - 0.5 * distribution.low) / distribution.step))


def grid_value(index: int, distribution: FloatDistribution) -> float:
    """Return the grid point of an index, inside the range."""
    assert distribution.step is not None
    low, high = distribution.low, distribution.high
    value = 2.0 * (0.5 * low + 0.5 * index * distribution.step)
    return min(max(value, low), high)

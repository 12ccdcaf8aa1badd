"""One parameter on the scale on which it evolves: the unit interval, in log space for log ranges.

A grid (integers, steps) of k values divides the interval into k equal cells, so that a uniform
draw is uniform over the grid.
"""

import math
from typing import Any

from numpy.random import Generator
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.surrogates import contains
from optuna_evo.surrogates import grid_index
from optuna_evo.surrogates import grid_value
from optuna_evo.surrogates import interpolate
from optuna_evo.surrogates import locate
from optuna_evo.surrogates import n_grid_levels


__all__ = [
    "draw",
    "fit",
    "is_number",
    "mutate_number",
    "other_choice",
    "to_unit",
    "UNIFORM_STD",
]

# Standard deviation of a uniform draw from the unit interval: the unit of mutation sizes.
UNIFORM_STD = 1.0 / math.sqrt(12.0)
_MAX_EXPONENT = 709.0  # beyond, exp overflows


def is_number(distribution: BaseDistribution) -> bool:
    """Tell numbers, which have an order and a scale, from categories."""
    return isinstance(distribution, FloatDistribution | IntDistribution)


def draw(u: float, distribution: BaseDistribution) -> Any:
    """Map u, uniform in [0, 1), to a uniform value of the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        k = len(distribution.choices)
        return distribution.choices[min(int(u * k), k - 1)]
    if isinstance(distribution, IntDistribution):
        return _int_from_unit(u, distribution)
    assert isinstance(distribution, FloatDistribution)
    return _float_from_unit(u, distribution)


def to_unit(value: Any, distribution: BaseDistribution) -> float:
    """Map a number to the unit interval, the inverse of `draw` up to the width of a cell."""
    if isinstance(distribution, IntDistribution) and distribution.log:
        low, high = _log_int_bounds(distribution)
        position = (math.log(value) - low) / (high - low)
    elif isinstance(distribution, IntDistribution):
        k = (distribution.high - distribution.low) // distribution.step + 1
        position = ((value - distribution.low) / distribution.step + 0.5) / k
    elif isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        if (n_levels := n_grid_levels(distribution)) is not None:
            steps = 2.0 * ((0.5 * value - 0.5 * low) / distribution.step)
            position = (steps + 0.5) / n_levels
        elif distribution.log:
            position = _log_ratio(value, low) / _log_ratio(high, low)
        else:
            position = locate(value, low, high)
    else:
        raise TypeError(f"A category has no place on a scale, got {distribution}.")
    return min(max(position, 0.0), 1.0)


def mutate_number(value: Any, distribution: BaseDistribution, scale: float, rng: Generator) -> Any:
    """Shift a number by a Gaussian step, reflected at the bounds; never by nothing.

    `scale` is in standard deviations of a uniform draw from the range.
    """
    u = to_unit(value, distribution) + scale * UNIFORM_STD * rng.standard_normal()
    u = abs(u) % 2.0
    mutant = draw(2.0 - u if u > 1.0 else u, distribution)
    if mutant != value or distribution.single():
        return mutant
    step = getattr(distribution, "step", None) or 0
    sign = 1 if rng.random() < 0.5 else -1
    neighbour = _nearest(value + sign * step, distribution)
    return neighbour if neighbour != value else _nearest(value - sign * step, distribution)


def other_choice(value: Any, distribution: CategoricalDistribution, rng: Generator) -> Any:
    """Draw one of the other categories."""
    others = [choice for choice in distribution.choices if not _same(choice, value)]
    return others[int(rng.integers(len(others)))] if others else value


def fit(value: Any, distribution: BaseDistribution) -> Any:
    """Return the value of the distribution nearest to `value`, exactly `value` if it has that.

    A category is returned as it is.
    """
    if contains(distribution, value):
        return int(value) if isinstance(distribution, IntDistribution) else float(value)
    return _nearest(value, distribution)


def _nearest(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, IntDistribution):
        step, low, high = distribution.step, distribution.low, distribution.high
        return min(max(low + step * _rounded(value - low, step), low), high)
    if isinstance(distribution, FloatDistribution):
        inside = min(max(float(value), distribution.low), distribution.high)
        if n_grid_levels(distribution) is None:
            return inside
        return grid_value(grid_index(inside, distribution), distribution)
    return value


def _rounded(offset: float, step: int) -> int:
    """Return offset / step, half to even; whole numbers without the rounding of floats."""
    if not isinstance(offset, int):
        return round(offset / step)
    k, rest = divmod(offset, step)
    return k + (2 * rest > step or (2 * rest == step and k % 2 == 1))


def _float_from_unit(u: float, distribution: FloatDistribution) -> float:
    low, high = distribution.low, distribution.high
    if (k := n_grid_levels(distribution)) is not None:
        return grid_value(min(int(u * k), k - 1), distribution)
    if distribution.log:
        return min(max(_log_interpolate(u, low, high), low), high)
    return interpolate(u, low, high)


def _int_from_unit(u: float, distribution: IntDistribution) -> int:
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        log_low, log_high = _log_int_bounds(distribution)
        return min(max(round(math.exp(log_low + u * (log_high - log_low))), low), high)
    k = (high - low) // step + 1
    return low + step * min(int(u * k), k - 1)


def _log_int_bounds(distribution: IntDistribution) -> tuple[float, float]:
    return math.log(distribution.low - 0.5), math.log(distribution.high + 0.5)


def _log_interpolate(u: float, low: float, high: float) -> float:
    ratio = _log_ratio(high, low)
    if u * ratio < _MAX_EXPONENT:
        return low * math.exp(u * ratio)
    return math.exp(min(math.log(low) + u * ratio, math.log(high)))


def _log_ratio(a: float, b: float) -> float:
    """Return ln(a / b), also where a / b overflows."""
    ratio = a / b
    return math.log(ratio) if ratio < math.inf else math.log(a) - math.log(b)


def _same(a: Any, b: Any) -> bool:
    """Equality that keeps True and 1 apart, as Optuna's categories may hold both."""
    return type(a) is type(b) and bool(a == b)

"""One encoding of any Optuna space into vectors, shared by all surrogates.

    n configurations, d parameters, c feature columns

A configuration is a row of *units* (n, d): numbers on their own (log) scale in [0, 1], categories
as the index of the choice, NaN where the parameter was not suggested. Candidates are drawn, moved
and compared as units. A model sees *features* (n, c): a number centred at 0, a category as one-hot
columns divided by sqrt(2), so that two different choices are at distance 1 whatever their names
(see `_codes` for categories of many choices), and one more column for a parameter that some trials
do not have.
"""

from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.surrogates._codes import category_columns
from optuna_evo.surrogates._codes import n_category_columns
from optuna_evo.surrogates._scale import grid_index
from optuna_evo.surrogates._scale import grid_value
from optuna_evo.surrogates._scale import interpolate
from optuna_evo.surrogates._scale import locate
from optuna_evo.surrogates._scale import n_grid_levels


UNIT_MARGIN = 0.5  # how far outside a range that has since moved an old value may lie
SMALLEST = 5e-324  # positive float
ON_GRID = 1e-8  # of a step: how near to its grid Optuna takes a value to be on it


@dataclass(frozen=True)
class Axis:
    """One parameter on its unit scale."""

    name: str
    distribution: BaseDistribution
    low: float
    high: float
    log: bool
    n_levels: int | None  # None: continuous, or so fine a grid that it is as good as that
    is_category: bool

    @classmethod
    def of(cls, name: str, dist: BaseDistribution) -> "Axis":
        """Read an Optuna distribution."""
        if isinstance(dist, CategoricalDistribution):
            return cls(name, dist, 0.0, 1.0, False, len(dist.choices), True)
        if isinstance(dist, IntDistribution):
            n_levels = (dist.high - dist.low) // dist.step + 1
            scale = math.log if dist.log else float
            return cls(name, dist, scale(dist.low), scale(dist.high), dist.log, n_levels, False)
        if isinstance(dist, FloatDistribution):
            levels = n_grid_levels(dist)
            scale = math.log if dist.log else float
            return cls(name, dist, scale(dist.low), scale(dist.high), dist.log, levels, False)
        raise ValueError(
            f"A parameter must be a float, an int or a category, but got {name}={dist!r}. "
            "Use trial.suggest_float, suggest_int or suggest_categorical."
        )

    def units(self, configurations: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return where values lie, (n,): NaN without one, and for a choice that is not there."""
        if self.is_category:
            return np.array([self._index(c) for c in configurations])
        column = _as_numbers([c.get(self.name, math.nan) for c in configurations])
        if self.high <= self.low:
            return np.where(np.isnan(column), column, 0.5)
        scaled = np.log(np.maximum(column, SMALLEST)) if self.log else column
        unit = locate(scaled, self.low, self.high)
        return np.clip(unit, -UNIT_MARGIN, 1.0 + UNIT_MARGIN)

    @cached_property
    def _indices(self) -> dict[tuple[bool, Any], int]:
        """The index of each choice that can be looked up; as in Optuna the first of equal ones.

        True and 1 are equal to Python, but a flag is not the number that another study had.
        """
        assert isinstance(self.distribution, CategoricalDistribution)
        indices: dict[tuple[bool, Any], int] = {}
        for i, choice in enumerate(self.distribution.choices):
            if isinstance(choice, Hashable):
                indices.setdefault((isinstance(choice, bool), choice), i)
        return indices

    def _index(self, configuration: Mapping[str, Any]) -> float:
        choice = configuration.get(self.name, self)
        if choice is self:  # None may be a choice
            return math.nan
        if isinstance(choice, Hashable):
            index = self._indices.get((isinstance(choice, bool), choice))
            if index is not None:
                return float(index)
            if _is_number(choice):  # what equals it is a flag, or the other way round
                return math.nan
        try:  # a list, or NaN
            return float(self.distribution.to_internal_repr(choice))
        except ValueError:
            return math.nan

    def value(self, unit: float) -> Any:
        """Return the parameter's value at a unit, on its grid and inside its range."""
        dist = self.distribution
        if isinstance(dist, CategoricalDistribution):
            return dist.choices[int(round(unit)) % len(dist.choices)]
        scaled = interpolate(min(max(unit, 0.0), 1.0), self.low, self.high)
        raw = math.exp(scaled) if self.log else scaled
        if isinstance(dist, IntDistribution):
            whole = dist.low + round((raw - dist.low) / dist.step) * dist.step
            return min(max(whole, dist.low), dist.high)
        assert isinstance(dist, FloatDistribution)
        raw = min(max(raw, dist.low), dist.high)
        return grid_value(grid_index(raw, dist), dist) if self.n_levels is not None else raw


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a number is in a parameter's range and on its grid; a category never is."""
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return False
    if not _is_real(value) or not distribution.low <= value <= distribution.high:
        return False
    if isinstance(distribution, IntDistribution):
        whole = int(value)  # of an int exact, also beyond 2**53
        return bool(whole == value and (whole - distribution.low) % distribution.step == 0)
    if distribution.step is None or n_grid_levels(distribution) is None:
        return True
    k = 2.0 * ((0.5 * float(value) - 0.5 * distribution.low) / distribution.step)
    return bool(abs(k - round(k)) < ON_GRID)


def _as_numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return values as floats, NaN for what is no finite number.

    A source may have had categories under the name: neither "0.1" nor True is a number.
    """
    if not {type(value) for value in values} <= {float, int}:
        values = [v if _is_real(v) else math.nan for v in values]
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError:  # an int beyond all floats
        column = np.array([_finite(v) for v in values])
    return np.where(np.isfinite(column), column, math.nan)


def _is_number(choice: Any) -> bool:
    return isinstance(choice, Real) and choice == choice


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _finite(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan


class SpaceEncoding:
    """Turn configurations of a (mixed, conditional) space into vectors and back.

    Args:
        distributions:
            The parameters, by name. A parameter that only some configurations have is one more
            entry; those without it hold NaN in its place.
        optional:
            Names of the parameters that a configuration may lack. They get a feature column that
            says whether they are there.

    Raises:
        ValueError: If a distribution is none of Optuna's three kinds.

    Example:
        >>> space = {"lr": FloatDistribution(1e-4, 1e-2, log=True)}
        >>> SpaceEncoding(space).units([{"lr": 1e-3}]).round(3).tolist()
        [[0.5]]
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], *, optional: Iterable[str] = ()
    ) -> None:
        self.axes = tuple(Axis.of(name, dist) for name, dist in distributions.items())
        self.optional = tuple(name in set(optional) for name in distributions)

    @cached_property
    def groups(self) -> NDArray[np.intp]:
        """The parameter that each feature column belongs to, (c,)."""
        widths = [
            (n_category_columns(axis.n_levels or 1) if axis.is_category else 1) + flag
            for axis, flag in zip(self.axes, self.optional, strict=True)
        ]
        return np.repeat(np.arange(len(self.axes)), widths)

    @cached_property
    def n_configurations(self) -> float:
        """How many different configurations there are; infinite with a continuous parameter."""
        levels = (math.inf if a.n_levels is None else float(a.n_levels) for a in self.axes)
        return math.prod(levels)

    def units(self, configurations: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Encode configurations, (n, d); parameters they lack become NaN."""
        units = np.empty((len(configurations), len(self.axes)))
        for j, axis in enumerate(self.axes):
            units[:, j] = axis.units(configurations)
        return units

    def values(self, units: NDArray[np.float64]) -> dict[str, Any]:
        """Decode one row of units, (d,); parameters at NaN are left out."""
        return {
            axis.name: axis.value(float(unit))
            for axis, unit in zip(self.axes, units, strict=True)
            if not math.isnan(unit)
        }

    def recall(
        self,
        row: NDArray[np.float64],
        units: NDArray[np.float64],
        configurations: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Decode a row that may share numbers with known configurations: those are exact.

        exp(ln x) and low + k * step are often one rounding away from x. A number that is handed on
        must not change by that: it would be another training run, with another fingerprint.

        Args:
            row: The units to decode, (d,), snapped; parameters at NaN are left out.
            units: The known configurations as units, (n, d).
            configurations: The same as they were suggested, n of them.
        """
        params = self.values(row)
        same = self.snap(units) == row
        for j, axis in enumerate(self.axes):
            if axis.is_category:
                continue
            for i in np.flatnonzero(same[:, j]).tolist():
                value = configurations[i][axis.name]
                if contains(axis.distribution, value):
                    params[axis.name] = type(params[axis.name])(value)
                    break
        return params

    def features(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a model sees of rows of units, (n, c)."""
        columns: list[NDArray[np.float64]] = []
        for j, (axis, flag) in enumerate(zip(self.axes, self.optional, strict=True)):
            column = units[:, j]
            present = ~np.isnan(column)
            if axis.is_category:
                columns.append(category_columns(column, axis.n_levels or 1))
            else:
                columns.append(np.where(present, column - 0.5, 0.0)[:, None])
            if flag:
                columns.append(present[:, None].astype(np.float64))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(units), 0))

    def snap(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move units into the ranges and onto the grids of their parameters, (n, d)."""
        snapped = np.clip(units, 0.0, None)
        for j, axis in enumerate(self.axes):
            if axis.is_category:
                continue
            column = np.minimum(snapped[:, j], 1.0)
            if axis.n_levels is not None and not axis.log:
                steps = max(axis.n_levels - 1, 1)
                column = np.round(column * steps) / steps
            elif axis.n_levels is not None and axis.high > axis.low:
                whole = np.round(np.exp(axis.low + column * (axis.high - axis.low)))
                column = (np.log(whole) - axis.low) / (axis.high - axis.low)
            snapped[:, j] = column
        return snapped

    def uniform(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw configurations evenly over the space, all parameters present, (n, d)."""
        units = rng.random((n, len(self.axes)))
        for j, axis in enumerate(self.axes):
            if axis.n_levels is None or axis.log:
                continue
            level = np.floor(units[:, j] * axis.n_levels)
            units[:, j] = level if axis.is_category else level / max(axis.n_levels - 1, 1)
        return self.snap(units)

    def grid(self) -> NDArray[np.float64]:
        """Enumerate a space without continuous parameters, (n_configurations, d)."""
        levels = [_levels(axis) for axis in self.axes]
        mesh = np.meshgrid(*levels, indexing="ij")
        return np.stack([m.ravel() for m in mesh], axis=1)


def _levels(axis: Axis) -> NDArray[np.float64]:
    assert axis.n_levels is not None, "a continuous parameter has no grid"
    if axis.is_category:
        return np.arange(axis.n_levels, dtype=np.float64)
    if axis.log:
        whole = np.arange(round(math.exp(axis.low)), round(math.exp(axis.high)) + 1)
        return np.asarray((np.log(whole) - axis.low) / max(axis.high - axis.low, 1e-12))
    return np.linspace(0.0, 1.0, axis.n_levels)

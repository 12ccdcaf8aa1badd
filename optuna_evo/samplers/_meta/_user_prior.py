"""What a user believes about where good values lie, as a density over a space.

A belief multiplies the acquisition function by its density to the power of a weight that fades
with evidence (Hvarfner et al. 2022, "piBO").
"""

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from scipy.stats import truncnorm

from optuna_evo.errors import UsageError
from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]

KEYS = {"center", "spread", "weights"}
CENTER_WEIGHT = 3.0  # of the choice named as the center of a category; the others have 1
DEFAULT_FACTOR = 3.0  # spread of a logarithmic parameter
DEFAULT_SHARE = 0.2  # spread of a linear parameter, of its range


@dataclass(frozen=True)
class UserPrior:
    """A belief about one parameter, as the user wrote it.

    Attributes:
        name: Name of the parameter.
        center: The most likely value; None if only weights are given.
        spread: A factor for a logarithmic parameter, else in its units; None for the default.
        weights: Relative weights of choices, for a category.
    """

    name: str
    center: Any = None
    spread: float | None = None
    weights: Mapping[Any, float] | None = None

    def check(self, distribution: BaseDistribution) -> None:
        """Raise if the belief does not fit the parameter.

        Raises:
            UsageError: If the center is outside the range, the spread is not a positive number (of
                a logarithmic parameter: a factor above 1), or a choice is unknown.
        """
        if isinstance(distribution, CategoricalDistribution):
            if self.spread is not None:
                raise UsageError(
                    f"Prior of {self.name!r}: a category has no `spread`. "
                    "Give `center`, one of its choices, or `weights` of choices."
                )
            named = [*(self.weights or {}), *([] if self.center is None else [self.center])]
            unknown = [choice for choice in named if choice not in distribution.choices]
            if unknown:
                raise UsageError(
                    f"Prior of {self.name!r}: {unknown[0]!r} is not a choice; "
                    f"there are {', '.join(map(repr, distribution.choices))}."
                )
            return
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if self.weights is not None or self.center is None:
            raise UsageError(
                f"Prior of {self.name!r}: a number needs `center` and may have `spread`, "
                "`weights` are for categories."
            )
        low, high = distribution.low, distribution.high
        number = isinstance(self.center, int | float) and not isinstance(self.center, bool)
        if not number or not low <= self.center <= high:
            raise UsageError(
                f"Prior of {self.name!r}: `center` must be a number in the range "
                f"[{low:g}, {high:g}], but it is {self.center!r}."
            )
        if distribution.log and self.spread is not None and self.spread <= 1.0:
            raise UsageError(
                f"Prior of {self.name!r}: `spread` of a logarithmic parameter is a factor above "
                f"1, but it is {self.spread:g}. 3 means: mostly within a third and three times."
            )


def read_priors(priors: Mapping[str, Mapping[str, Any]] | None) -> tuple[UserPrior, ...]:
    """Read beliefs by parameter name; what depends on the ranges is checked by `UserPrior.check`.

    Raises:
        UsageError: If a belief is not a table with the keys `center`, `spread`, `weights`, or a
            number in it is not positive and finite.
    """
    found = []
    for name, entry in (priors or {}).items():
        if not isinstance(entry, Mapping) or not entry or not entry.keys() <= KEYS:
            raise UsageError(
                f"Prior of {name!r} must be a table such as {{center = 3e-4, spread = 3}} or "
                f"{{weights = {{adam = 3, sgd = 1}}}}, but it is {entry!r}."
            )
        spread, weights = entry.get("spread"), entry.get("weights")
        if spread is not None and not _positive(spread):
            raise UsageError(
                f"Prior of {name!r}: `spread` must be a positive number, but it is {spread!r}."
            )
        if weights is not None and not (
            isinstance(weights, Mapping) and weights and all(map(_positive, weights.values()))
        ):
            raise UsageError(
                f"Prior of {name!r}: `weights` must be a table of positive numbers, "
                f"but it is {weights!r}. A choice that is left out has weight 1."
            )
        center = entry.get("center")
        if center is None and weights is None:
            raise UsageError(f"Prior of {name!r} needs a `center`, or `weights` for a category.")
        found.append(UserPrior(name, center, spread, weights))
    return tuple(found)


def check_priors(
    priors: Mapping[str, Mapping[str, Any]], distributions: Mapping[str, BaseDistribution]
) -> None:
    """Check beliefs against a known space.

    Raises:
        UsageError: If a name is not in the space, or a belief does not fit its parameter.
    """
    for prior in read_priors(priors):
        if prior.name not in distributions:
            raise UsageError(
                f"Prior of {prior.name!r}: the space has no such parameter; "
                f"there are {', '.join(sorted(distributions))}."
            )
        prior.check(distributions[prior.name])


def log_density(priors: tuple[UserPrior, ...], encoding: SpaceEncoding, units: Array) -> Array:
    """Return the logarithm of the belief's density at units (n, d), at most 0: 0 is the center."""
    total = np.zeros(len(units))
    by_name = {prior.name: prior for prior in priors}
    for j, axis in enumerate(encoding.axes):
        prior = by_name.get(axis.name)
        if prior is None:
            continue
        column = units[:, j]
        if axis.is_category:
            log_weights = np.log(_weights(prior, axis.distribution))
            log_weights -= log_weights.max()
            index = np.nan_to_num(column).astype(np.intp) % len(log_weights)
            part = log_weights[index]
        else:
            center, spread = _unit_normal(prior, encoding, j)
            part = -0.5 * ((column - center) / spread) ** 2
        total += np.where(np.isnan(column), 0.0, part)
    return total


def draw_prior(
    priors: tuple[UserPrior, ...],
    encoding: SpaceEncoding,
    n: int,
    rng: np.random.Generator,
) -> Array:
    """Draw configurations from the belief, evenly in parameters without one, (n, d)."""
    units = encoding.uniform(n, rng)
    by_name = {prior.name: prior for prior in priors}
    for j, axis in enumerate(encoding.axes):
        prior = by_name.get(axis.name)
        if prior is None:
            continue
        if axis.is_category:
            weights = _weights(prior, axis.distribution)
            units[:, j] = rng.choice(len(weights), size=n, p=weights / weights.sum())
        else:
            center, spread = _unit_normal(prior, encoding, j)
            low, high = -center / spread, (1.0 - center) / spread
            units[:, j] = truncnorm.ppf(rng.random(n), low, high, center, spread)
    return encoding.snap(units)


def _unit_normal(prior: UserPrior, encoding: SpaceEncoding, j: int) -> tuple[float, float]:
    """Return center and standard deviation of a number on its unit scale."""
    axis = encoding.axes[j]
    center = float(axis.units([{axis.name: prior.center}])[0])
    half_width = max(0.5 * axis.high - 0.5 * axis.low, 0.5e-12)  # the width may be no float
    if axis.log:
        return center, 0.5 * math.log(prior.spread or DEFAULT_FACTOR) / half_width
    return center, (0.5 * prior.spread / half_width if prior.spread else DEFAULT_SHARE)


def _weights(prior: UserPrior, distribution: BaseDistribution) -> Array:
    assert isinstance(distribution, CategoricalDistribution)
    weights = np.ones(len(distribution.choices))
    for i, choice in enumerate(distribution.choices):
        if prior.weights is not None:
            weights[i] = prior.weights.get(choice, 1.0)
        elif choice == prior.center:
            weights[i] = CENTER_WEIGHT
    return weights


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0.0

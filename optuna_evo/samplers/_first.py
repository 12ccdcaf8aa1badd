"""Configurations that a study tries first, such as the defaults of a library."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.errors import UsageError
from optuna_evo.surrogates import contains


__all__ = ["check_first", "fitted", "read_first"]

Configurations = Sequence[Mapping[str, Any]]


def read_first(first: Configurations, *, at_most: int | None = None) -> tuple[dict[str, Any], ...]:
    """Read a list of configurations; whether they fit is known when parameters are suggested.

    Args:
        first: The list.
        at_most: The size of the first generation, if there is one.

    Raises:
        ValueError: If it is not a list of tables of parameters, or too long.
    """
    if isinstance(first, str | Mapping) or not isinstance(first, Sequence):
        raise ValueError(
            f'`first` must be a list of configurations such as [{{"lr": 0.001}}], got {first!r}.'
        )
    for configuration in first:
        named = isinstance(configuration, Mapping) and all(
            isinstance(k, str) for k in configuration
        )
        if not named or not configuration:
            raise ValueError(
                "`first` must hold configurations, tables of parameters such as "
                f'{{"lr": 0.001}}, got {configuration!r}.'
            )
    if at_most is not None and len(first) > at_most:
        raise ValueError(
            f"`first` must hold at most `population_size` configurations, got {len(first)} for "
            f"{at_most}: they are generation 0."
        )
    return tuple(dict(configuration) for configuration in first)


def check_first(first: Configurations, distributions: Mapping[str, BaseDistribution]) -> None:
    """Check configurations against a known space.

    Raises:
        UsageError: If a name is not in the space, or a value is not in its range.
    """
    for place, configuration in enumerate(read_first(first)):
        for name in configuration:
            if name not in distributions:
                raise UsageError(
                    f"first[{place}]: the space has no parameter {name!r}; "
                    f"there are {', '.join(sorted(distributions))}."
                )
            fitted(configuration, place, name, distributions[name])


def fitted(
    configuration: Mapping[str, Any], place: int, name: str, distribution: BaseDistribution
) -> Any:
    """Return the value of a parameter in a configuration of the list, in the type of its range.

    Raises:
        UsageError: If it is not in the range.
    """
    value = configuration[name]
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise UsageError(
            f"first[{place}]: {value!r} is no choice of {name!r}; "
            f"there are {', '.join(map(repr, distribution.choices))}."
        )
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not contains(distribution, value):
        step = "" if distribution.step is None else f" in steps of {distribution.step:g}"
        raise UsageError(
            f"first[{place}]: {name!r} must be a number in "
            f"[{distribution.low:g}, {distribution.high:g}]{step}, but it is {value!r}."
        )
    return int(value) if isinstance(distribution, IntDistribution) else float(value)

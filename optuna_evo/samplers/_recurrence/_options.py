"""Argument validation of a `RecurrenceSampler`: one line for each mistake."""

from collections.abc import Iterable
from collections.abc import Mapping


__all__ = ["anneal_factors", "check_between", "check_options"]


_LARGEST_POPULATION = 100_000


def check_options(*, population_size: int, rule: str, seed: int | None) -> None:
    """Raise ValueError unless the options that no part has for its own are in range."""
    if population_size < 2:
        raise ValueError(
            f"`population_size` must be an integer of at least 2, got {population_size}: "
            "a single member has no other to learn from."
        )
    if population_size > _LARGEST_POPULATION:
        raise ValueError(
            f"`population_size` must be at most {_LARGEST_POPULATION:,}, got {population_size}: "
            "every ask looks at all members."
        )
    if rule not in ("recurrence", "published"):
        raise ValueError(f'`rule` must be "recurrence" or "published", {rule=}.')
    if seed is not None and seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}. None draws a new one.")


def anneal_factors(names: Iterable[str] | Mapping[str, float], cooling: float) -> dict[str, float]:
    """Return the factor of each annealed parameter, `cooling` where none is given."""
    if isinstance(names, str):
        raise ValueError(f'`anneal` must be a sequence of names, such as ["lr"]; got {names!r}.')
    factors = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, cooling)
    if wrong := {name: factor for name, factor in factors.items() if not 0.0 < factor <= 1.0}:
        raise ValueError(f"The factors in `anneal` must be in (0, 1], got {wrong}.")
    return factors


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless the value is in [low, high]; NaN is not."""
    if not low <= value <= high:
        raise ValueError(f"`{name}` must be in [{low:g}, {high:g}], got {value}.")

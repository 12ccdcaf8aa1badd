"""Ranges of parameters in a file: those of a study's spec, or a table that says them."""

from collections.abc import Mapping
from pathlib import Path
import tomllib
from typing import Any
from typing import Final

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.spec import load_spec
from optuna_evo.spec import shown
from optuna_evo.study._parts import resolve_spec
from optuna_evo.study._parts import space_parameters


__all__ = ["read_space"]

_TABLE: Final = "parameters"
_EXAMPLE: Final = "{ low = 1e-5, high = 0.1, log = true } or a list of choices"


def read_space(path: Path) -> Mapping[str, BaseDistribution]:
    """Return the ranges of parameters that a TOML file names.

    Args:
        path: The spec of a study, or a file with a table `[parameters]` and lines such as
            `lr = { low = 1e-5, high = 0.1, log = true }` and `optimizer = ["adam", "sgd"]`.

    Raises:
        UsageError: If there are none, or one is no range.
    """
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        data = {}  # `load_spec` says what is wrong
    if isinstance(data.get(_TABLE), dict):
        found = {name: _range(name, entry) for name, entry in data[_TABLE].items()}
    else:
        spec = resolve_spec(load_spec(path))
        found = dict(space_parameters(spec) or {})
    if not found:
        raise UsageError(
            f"{path} says no ranges, as its objective suggests parameters itself: give a file "
            f"with a table [{_TABLE}] and a line for each, such as lr = {_EXAMPLE}."
        )
    return found


def _range(name: str, entry: Any) -> BaseDistribution:
    try:
        if isinstance(entry, list):
            if not entry or not all(isinstance(choice, str | int | float) for choice in entry):
                raise ValueError
            return CategoricalDistribution(entry)
        options = dict(entry)
        numbers = [options[key] for key in ("low", "high")]
        if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers):
            raise ValueError
        if all(isinstance(x, int) for x in numbers):
            return IntDistribution(**options)
        return FloatDistribution(**options)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        reason = f" ({error})" if isinstance(error, ValueError) and str(error) else ""
        raise SpecError(
            f"`{_TABLE}.{name}` must be a range, {_EXAMPLE}; got {shown(entry)}{reason}."
        ) from error

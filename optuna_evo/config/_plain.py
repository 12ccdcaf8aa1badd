"""Optimizers as data, each of one kind, and the tables that they are stored as."""

from collections.abc import Mapping
from typing import Any

from optuna_evo.config._controller import ControllerConfig
from optuna_evo.config._named import NamedOptimizer
from optuna_evo.errors import UsageError
from optuna_evo.rules import Genome


__all__ = ["kind_in", "PLAIN_KINDS", "plain_from_dict", "plain_to_dict", "PlainOptimizer"]

PlainOptimizer = Genome | NamedOptimizer | ControllerConfig
"""Each kind is frozen data with `to_dict`, `from_dict`, `fingerprint` and `equation`."""

PLAIN_KINDS: Mapping[str, type[Genome] | type[NamedOptimizer] | type[ControllerConfig]] = {
    "controller": ControllerConfig,
    "genome": Genome,
    "torch": NamedOptimizer,
}
"""Their names in stored configurations."""


def plain_to_dict(optimizer: PlainOptimizer) -> dict[str, Any]:
    """Return plain JSON types under the name of the optimizer's kind."""
    (kind,) = (key for key, each in PLAIN_KINDS.items() if isinstance(optimizer, each))
    return {kind: optimizer.to_dict()}


def plain_from_dict(data: Mapping[str, Any]) -> PlainOptimizer:
    """Read what `plain_to_dict` returned; other keys are left alone.

    Raises:
        UsageError: If there is not one optimizer of a known kind (a ValueError).
    """
    kind = kind_in(data, [*PLAIN_KINDS])
    return PLAIN_KINDS[kind].from_dict(data[kind])


def kind_in(data: Mapping[str, Any], allowed: list[str]) -> str:
    """Return the one kind that a table holds.

    Raises:
        UsageError: If there is not one of them (a ValueError).
    """
    kinds = [key for key in allowed if isinstance(data, Mapping) and key in data]
    if len(kinds) != 1:
        raise UsageError(
            f"An optimizer must be one of {allowed}, in a table under that name; got "
            f"{', '.join(kinds) or 'none'}."
        )
    return kinds[0]

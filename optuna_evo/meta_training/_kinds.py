"""Controllers from a kind and its settings."""

from collections.abc import Mapping
from typing import Any

from optuna_evo.errors import SpecError
from optuna_evo.learned import Controller
from optuna_evo.learned import MLPController


__all__ = ["build_controller"]


def build_controller(kind: str, settings: Mapping[str, Any]) -> Controller:
    """Build a controller."""
    if kind != "mlp":
        raise SpecError(f"There is no controller {kind!r}; there is mlp.")
    return MLPController(**settings)

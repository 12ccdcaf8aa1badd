"""Pruners for any Optuna study: they import Optuna, never torch."""

from optuna_evo.pruners._any import AnyPruner
from optuna_evo.pruners._any import Verdict
from optuna_evo.pruners._divergence import DivergencePruner
from optuna_evo.pruners._flatness import FlatnessPruner
from optuna_evo.pruners._flatness import slope_is_flat


__all__ = [
    "AnyPruner",
    "DivergencePruner",
    "FlatnessPruner",
    "slope_is_flat",
    "Verdict",
]

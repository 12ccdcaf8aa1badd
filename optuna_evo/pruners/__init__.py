"""Pruners for any Optuna study: they import Optuna, never torch."""

from optuna_evo.pruners._divergence import DivergencePruner


__all__ = ["DivergencePruner"]

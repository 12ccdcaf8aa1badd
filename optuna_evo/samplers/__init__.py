"""Samplers for any Optuna study: they import Optuna and numpy, never torch."""

from optuna_evo.samplers._ga._sampler import GASampler


__all__ = ["GASampler"]

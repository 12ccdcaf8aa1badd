"""Samplers for any Optuna study: they import Optuna and numpy, never torch."""

from optuna_evo.samplers._ga._sampler import GASampler
from optuna_evo.samplers._hybrid import HybridSampler
from optuna_evo.samplers._thompson import ThompsonSampler


__all__ = ["GASampler", "HybridSampler", "ThompsonSampler"]

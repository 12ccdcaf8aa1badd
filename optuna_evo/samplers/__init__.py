"""Samplers for any Optuna study: they import Optuna and numpy, never torch."""

from optuna_evo.samplers._ga._sampler import GASampler
from optuna_evo.samplers._hybrid import HybridSampler
from optuna_evo.samplers._recurrence._sampler import RecurrenceSampler
from optuna_evo.samplers._recurrence._segment import Segment
from optuna_evo.samplers._recurrence._segment import segment_of
from optuna_evo.samplers._thompson import ThompsonSampler


__all__ = [
    "GASampler",
    "HybridSampler",
    "RecurrenceSampler",
    "Segment",
    "segment_of",
    "ThompsonSampler",
]

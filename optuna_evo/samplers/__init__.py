"""Samplers for any Optuna study: they import Optuna and numpy, never torch."""

from optuna_evo.samplers._cmaes import ReplayedCmaEsSampler
from optuna_evo.samplers._cost import cost_of
from optuna_evo.samplers._cost import SECONDS
from optuna_evo.samplers._first import check_first
from optuna_evo.samplers._ga._sampler import GASampler
from optuna_evo.samplers._hybrid import HybridSampler
from optuna_evo.samplers._meta._sampler import MetaPriorSampler
from optuna_evo.samplers._meta._source import fitting_starts
from optuna_evo.samplers._meta._source import read_source
from optuna_evo.samplers._meta._source import read_sources
from optuna_evo.samplers._meta._source import Source
from optuna_evo.samplers._meta._user_prior import check_priors
from optuna_evo.samplers._rank import is_feasible
from optuna_evo.samplers._rank import Rank
from optuna_evo.samplers._rank import rank_of
from optuna_evo.samplers._recurrence._sampler import RecurrenceSampler
from optuna_evo.samplers._recurrence._segment import Segment
from optuna_evo.samplers._recurrence._segment import segment_of
from optuna_evo.samplers._thompson import ThompsonSampler


__all__ = [
    "check_first",
    "check_priors",
    "cost_of",
    "fitting_starts",
    "GASampler",
    "HybridSampler",
    "is_feasible",
    "MetaPriorSampler",
    "Rank",
    "rank_of",
    "read_source",
    "read_sources",
    "RecurrenceSampler",
    "ReplayedCmaEsSampler",
    "SECONDS",
    "Segment",
    "segment_of",
    "Source",
    "ThompsonSampler",
]

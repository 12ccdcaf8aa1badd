"""What a curve of reported values says: it has diverged, it no longer improves."""

from optuna_evo.curves._divergence import DEFAULT_FACTOR
from optuna_evo.curves._divergence import has_diverged
from optuna_evo.curves._divergence import RECENT_LOSSES
from optuna_evo.curves._divergence import recent_losses
from optuna_evo.curves._plateau import EarlyStopping
from optuna_evo.curves._plateau import ReduceOnPlateau


__all__ = [
    "DEFAULT_FACTOR",
    "EarlyStopping",
    "has_diverged",
    "recent_losses",
    "RECENT_LOSSES",
    "ReduceOnPlateau",
]

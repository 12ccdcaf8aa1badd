"""What a curve of reported values says: it has diverged, it no longer improves."""

from optuna_evo.curves._analysis import analyse
from optuna_evo.curves._analysis import CurveAnalysis
from optuna_evo.curves._analysis import final_performance
from optuna_evo.curves._analysis import smoothed
from optuna_evo.curves._analysis import spikes
from optuna_evo.curves._analysis import steps_to_target
from optuna_evo.curves._analysis import Trend
from optuna_evo.curves._analysis import trend
from optuna_evo.curves._divergence import DEFAULT_FACTOR
from optuna_evo.curves._divergence import has_diverged
from optuna_evo.curves._divergence import RECENT_LOSSES
from optuna_evo.curves._divergence import recent_losses
from optuna_evo.curves._plateau import EarlyStopping
from optuna_evo.curves._plateau import ReduceOnPlateau


__all__ = [
    "analyse",
    "CurveAnalysis",
    "DEFAULT_FACTOR",
    "EarlyStopping",
    "final_performance",
    "has_diverged",
    "RECENT_LOSSES",
    "recent_losses",
    "ReduceOnPlateau",
    "smoothed",
    "spikes",
    "steps_to_target",
    "Trend",
    "trend",
]

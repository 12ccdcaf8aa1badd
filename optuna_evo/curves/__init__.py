"""What a curve of reported values says: it has diverged, it no longer improves, how it went.

The analysis of whole curves needs NumPy and is loaded when it is asked for.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.curves._divergence import DEFAULT_FACTOR
from optuna_evo.curves._divergence import has_diverged
from optuna_evo.curves._divergence import RECENT_LOSSES
from optuna_evo.curves._divergence import recent_losses
from optuna_evo.curves._plateau import EarlyStopping
from optuna_evo.curves._plateau import ReduceOnPlateau


if TYPE_CHECKING:
    from optuna_evo.curves._analysis import analyse as analyse
    from optuna_evo.curves._analysis import CurveAnalysis as CurveAnalysis
    from optuna_evo.curves._analysis import final_performance as final_performance
    from optuna_evo.curves._analysis import smoothed as smoothed
    from optuna_evo.curves._analysis import spikes as spikes
    from optuna_evo.curves._analysis import steps_to_target as steps_to_target
    from optuna_evo.curves._analysis import Trend as Trend
    from optuna_evo.curves._analysis import trend as trend

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("optuna_evo.curves._analysis"), name)

"""Evolve optimizers and hyperparameters of PyTorch models with Optuna.

The names below are loaded when they are first used, so `import optuna_evo` costs neither torch nor
Optuna. A new name is a line in `_EXPORTS` and its twin for type checkers under `TYPE_CHECKING`.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.config import EstimatorConfig as EstimatorConfig
    from optuna_evo.config import NamedOptimizer as NamedOptimizer
    from optuna_evo.config import ParamGroup as ParamGroup
    from optuna_evo.config import TrainingConfig as TrainingConfig
    from optuna_evo.estimators import load_table as load_table
    from optuna_evo.evaluation import judge as judge
    from optuna_evo.objectives import EstimatorObjective as EstimatorObjective
    from optuna_evo.optimizers import EvolvedOptimizer as EvolvedOptimizer
    from optuna_evo.optimizers import lr_schedule as lr_schedule
    from optuna_evo.pruners import AnyPruner as AnyPruner
    from optuna_evo.pruners import DivergencePruner as DivergencePruner
    from optuna_evo.pruners import FlatnessPruner as FlatnessPruner
    from optuna_evo.rules import catalog as catalog
    from optuna_evo.rules import Genome as Genome
    from optuna_evo.rules import Schedule as Schedule
    from optuna_evo.rules import Term as Term
    from optuna_evo.rules import TermType as TermType
    from optuna_evo.samplers import GASampler as GASampler
    from optuna_evo.samplers import HybridSampler as HybridSampler
    from optuna_evo.samplers import MetaPriorSampler as MetaPriorSampler
    from optuna_evo.samplers import read_source as read_source
    from optuna_evo.samplers import read_sources as read_sources
    from optuna_evo.samplers import RecurrenceSampler as RecurrenceSampler
    from optuna_evo.samplers import segment_of as segment_of
    from optuna_evo.samplers import Source as Source
    from optuna_evo.samplers import ThompsonSampler as ThompsonSampler
    from optuna_evo.spaces import estimator_space as estimator_space
    from optuna_evo.spaces import genome_params as genome_params
    from optuna_evo.spaces import grid_space as grid_space
    from optuna_evo.spaces import suggest_genome as suggest_genome
    from optuna_evo.spaces import training_space as training_space
    from optuna_evo.study import smart_hyperparameter_tuning as smart_hyperparameter_tuning

    __version__: str

_EXPORTS = {
    "AnyPruner": "optuna_evo.pruners",
    "catalog": "optuna_evo.rules",
    "DivergencePruner": "optuna_evo.pruners",
    "estimator_space": "optuna_evo.spaces",
    "EstimatorConfig": "optuna_evo.config",
    "EstimatorObjective": "optuna_evo.objectives",
    "EvolvedOptimizer": "optuna_evo.optimizers",
    "FlatnessPruner": "optuna_evo.pruners",
    "GASampler": "optuna_evo.samplers",
    "Genome": "optuna_evo.rules",
    "genome_params": "optuna_evo.spaces",
    "grid_space": "optuna_evo.spaces",
    "HybridSampler": "optuna_evo.samplers",
    "judge": "optuna_evo.evaluation",
    "lr_schedule": "optuna_evo.optimizers",
    "load_table": "optuna_evo.estimators",
    "MetaPriorSampler": "optuna_evo.samplers",
    "read_source": "optuna_evo.samplers",
    "read_sources": "optuna_evo.samplers",
    "RecurrenceSampler": "optuna_evo.samplers",
    "segment_of": "optuna_evo.samplers",
    "Schedule": "optuna_evo.rules",
    "smart_hyperparameter_tuning": "optuna_evo.study",
    "Source": "optuna_evo.samplers",
    "suggest_genome": "optuna_evo.spaces",
    "Term": "optuna_evo.rules",
    "TermType": "optuna_evo.rules",
    "ThompsonSampler": "optuna_evo.samplers",
    "training_space": "optuna_evo.spaces",
    "NamedOptimizer": "optuna_evo.config",
    "ParamGroup": "optuna_evo.config",
    "TrainingConfig": "optuna_evo.config",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("optuna-evo")
    elif name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

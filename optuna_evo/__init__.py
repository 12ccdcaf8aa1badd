"""Optuna for people who train PyTorch models.

Optimizers as data:

* `Genome`: an update rule with its hyperparameters, as frozen data.
* `Term`, `TermType`: one summand of an update rule, and which summands there are.
* `catalog`: named genomes, from "sgd" and "adamw" to published discoveries.
* `EvolvedOptimizer`: any genome as a `torch.optim.Optimizer`.
* `LearnedOptimizer`, `controllers`: optimizers whose coefficients a small network computes.
* `LossGuard`: a learned optimizer beside a safe one, which takes over where it is better.
* `HypergradientRule`, `OnlineRule`: a rule whose learning rate, or all of it, adapts in the run.
* `MAML`, `MetaSGD`: weights, and inner learning rates, from which few steps learn a new task.
* `TrainingConfig`: the optimizer and hyperparameters of one training run.
* `NamedOptimizer`, `ParamGroup`: optimizers of torch by name, routed by names and shapes.
* `ControllerConfig`: a learned optimizer in a configuration.
* `MetaTrainingConfig`: a learned optimizer that is to be meta-trained.
* `judge`: an optimizer beside others, all tuned alike, on tasks and test rows that it never saw.

Samplers, for any Optuna study:

* `GASampler`: a genetic algorithm for conditional spaces; its population lives in the study.
* `ThompsonSampler`: one draw from a posterior over the objective per ask, for many workers.
* `HybridSampler`: a genetic phase, then a Thompson bandit in what proved promising.
* `RecurrenceSampler`: population-based training; hyperparameters evolve while a model trains.
* `segment_of`: from which trial's weights a trial of a `RecurrenceSampler` goes on.
* `MetaPriorSampler`: start from old studies and beliefs, which fade as evidence comes in.
* `Source`, `read_source`, `read_sources`: what an old study found, compactly.

Pruners, for any Optuna study:

* `DivergencePruner`: prune trials whose values are NaN, infinite or exploding.
* `FlatnessPruner`: end trials whose curve has stopped improving.
* `AnyPruner`: several pruners as one.

Spaces, from an Optuna trial to what a training needs:

* `suggest_genome`, `genome_params`: a genome from a trial, and the way back.
* `suggest_learned_optimizer`: a learned optimizer to be meta-trained, from a trial.
* `training_space`: learning rate, weight decay, batch size and dropout.
* `grid_space`: each hyperparameter from a few values or the range that they span.
* `estimator_space`: one of scikit-learn's estimators and its hyperparameters.

Whole tasks:

* `smart_hyperparameter_tuning`: tune a training in one call.
* `train_model_with_params`: train with what it found, and measure on test data.
* `Schedule`, `lr_schedule`: hyperparameters over the steps of a training, and a scheduler of them.
* `EstimatorConfig`, `EstimatorObjective`, `load_table`: scikit-learn's estimators on tables.

What else a study is made of is in `optuna_evo.tasks`; `optuna_evo --help` is the command line.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.config import ControllerConfig as ControllerConfig
    from optuna_evo.config import EstimatorConfig as EstimatorConfig
    from optuna_evo.config import MetaTrainingConfig as MetaTrainingConfig
    from optuna_evo.config import NamedOptimizer as NamedOptimizer
    from optuna_evo.config import ParamGroup as ParamGroup
    from optuna_evo.config import TrainingConfig as TrainingConfig
    from optuna_evo.estimators import load_table as load_table
    from optuna_evo.evaluation import judge as judge
    from optuna_evo.learned import controllers as controllers
    from optuna_evo.learned import LearnedOptimizer as LearnedOptimizer
    from optuna_evo.learned import LossGuard as LossGuard
    from optuna_evo.learned import OnlineRule as OnlineRule
    from optuna_evo.meta_training import MAML as MAML
    from optuna_evo.meta_training import MetaSGD as MetaSGD
    from optuna_evo.objectives import EstimatorObjective as EstimatorObjective
    from optuna_evo.optimizers import EvolvedOptimizer as EvolvedOptimizer
    from optuna_evo.optimizers import HypergradientRule as HypergradientRule
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
    from optuna_evo.spaces import suggest_learned_optimizer as suggest_learned_optimizer
    from optuna_evo.spaces import training_space as training_space
    from optuna_evo.study import smart_hyperparameter_tuning as smart_hyperparameter_tuning
    from optuna_evo.study import train_model_with_params as train_model_with_params

    __version__: str

# Loaded when first used, so that `import optuna_evo` costs neither torch nor Optuna. A new name is
# a line here, its twin for type checkers above, and its line in the docstring.
_EXPORTS = {
    "AnyPruner": "optuna_evo.pruners",
    "catalog": "optuna_evo.rules",
    "ControllerConfig": "optuna_evo.config",
    "controllers": "optuna_evo.learned",
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
    "HypergradientRule": "optuna_evo.optimizers",
    "LearnedOptimizer": "optuna_evo.learned",
    "LossGuard": "optuna_evo.learned",
    "MAML": "optuna_evo.meta_training",
    "MetaSGD": "optuna_evo.meta_training",
    "OnlineRule": "optuna_evo.learned",
    "lr_schedule": "optuna_evo.optimizers",
    "load_table": "optuna_evo.estimators",
    "MetaPriorSampler": "optuna_evo.samplers",
    "MetaTrainingConfig": "optuna_evo.config",
    "read_source": "optuna_evo.samplers",
    "read_sources": "optuna_evo.samplers",
    "RecurrenceSampler": "optuna_evo.samplers",
    "segment_of": "optuna_evo.samplers",
    "Schedule": "optuna_evo.rules",
    "smart_hyperparameter_tuning": "optuna_evo.study",
    "Source": "optuna_evo.samplers",
    "suggest_genome": "optuna_evo.spaces",
    "suggest_learned_optimizer": "optuna_evo.spaces",
    "Term": "optuna_evo.rules",
    "TermType": "optuna_evo.rules",
    "ThompsonSampler": "optuna_evo.samplers",
    "train_model_with_params": "optuna_evo.study",
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

"""What one trial trains with: the plain values between a search space and an objective."""

from optuna_evo.config._controller import ControllerConfig
from optuna_evo.config._estimator import EstimatorConfig
from optuna_evo.config._grafted import GraftedOptimizer
from optuna_evo.config._meta import MetaTrainingConfig
from optuna_evo.config._named import NamedOptimizer
from optuna_evo.config._named import ParamGroup
from optuna_evo.config._rule_file import read_rule_file
from optuna_evo.config._rule_file import RuleFile
from optuna_evo.config._training import Config
from optuna_evo.config._training import optimizer_from_dict
from optuna_evo.config._training import optimizer_to_dict
from optuna_evo.config._training import OptimizerConfig
from optuna_evo.config._training import SegmentConfig
from optuna_evo.config._training import TrainingConfig


__all__ = [
    "Config",
    "ControllerConfig",
    "EstimatorConfig",
    "GraftedOptimizer",
    "MetaTrainingConfig",
    "NamedOptimizer",
    "optimizer_from_dict",
    "optimizer_to_dict",
    "OptimizerConfig",
    "ParamGroup",
    "read_rule_file",
    "RuleFile",
    "SegmentConfig",
    "TrainingConfig",
]

"""Update rules as `torch.optim.Optimizer`s; nothing here knows Optuna."""

from optuna_evo.optimizers._constant import ConstantRule
from optuna_evo.optimizers._evolved import EvolvedOptimizer
from optuna_evo.optimizers._flat import update_flat
from optuna_evo.optimizers._functional import functional_update
from optuna_evo.optimizers._grafted import Grafted
from optuna_evo.optimizers._hypergradient import HypergradientRule
from optuna_evo.optimizers._named import build_named
from optuna_evo.optimizers._named import check_named
from optuna_evo.optimizers._named import default_lr
from optuna_evo.optimizers._named import TorchOptimizers
from optuna_evo.optimizers._roles import roles_of
from optuna_evo.optimizers._scale import scale_steps
from optuna_evo.optimizers._schedule import lr_schedule
from optuna_evo.optimizers._stack import StackOptimizer
from optuna_evo.optimizers._tail import StackTail
from optuna_evo.optimizers._tail import TAIL


__all__ = [
    "build_named",
    "check_named",
    "ConstantRule",
    "default_lr",
    "EvolvedOptimizer",
    "Grafted",
    "HypergradientRule",
    "functional_update",
    "lr_schedule",
    "roles_of",
    "scale_steps",
    "StackOptimizer",
    "StackTail",
    "TAIL",
    "TorchOptimizers",
    "update_flat",
]

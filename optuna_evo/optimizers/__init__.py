"""Update rules as `torch.optim.Optimizer`s; nothing here knows Optuna."""

from optuna_evo.optimizers._evolved import EvolvedOptimizer
from optuna_evo.optimizers._flat import update_flat
from optuna_evo.optimizers._named import build_named
from optuna_evo.optimizers._named import check_named
from optuna_evo.optimizers._named import TorchOptimizers
from optuna_evo.optimizers._schedule import lr_schedule
from optuna_evo.optimizers._update import FROZEN
from optuna_evo.optimizers._update import Scalars


__all__ = [
    "build_named",
    "check_named",
    "EvolvedOptimizer",
    "FROZEN",
    "lr_schedule",
    "Scalars",
    "TorchOptimizers",
    "update_flat",
]

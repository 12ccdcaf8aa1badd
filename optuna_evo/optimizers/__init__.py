"""Update rules as `torch.optim.Optimizer`s; nothing here knows Optuna."""

from optuna_evo.optimizers._constant import ConstantRule
from optuna_evo.optimizers._evolved import EvolvedOptimizer
from optuna_evo.optimizers._flat import update_flat
from optuna_evo.optimizers._schedule import lr_schedule
from optuna_evo.optimizers._stack import StackOptimizer


__all__ = ["ConstantRule", "EvolvedOptimizer", "lr_schedule", "StackOptimizer", "update_flat"]

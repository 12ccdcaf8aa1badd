"""Update rules as `torch.optim.Optimizer`s; nothing here knows Optuna."""

from optuna_evo.optimizers._evolved import EvolvedOptimizer


__all__ = ["EvolvedOptimizer"]

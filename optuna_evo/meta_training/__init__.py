"""Meta-learning: what is learned over many tasks, so that the next one is learned faster."""

from optuna_evo.meta_training._maml import FewShotTasks
from optuna_evo.meta_training._maml import MAML
from optuna_evo.meta_training._meta_sgd import MetaSGD
from optuna_evo.meta_training._sinusoids import sinusoids


__all__ = ["FewShotTasks", "MAML", "MetaSGD", "sinusoids"]

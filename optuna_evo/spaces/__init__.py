"""Search spaces: functions from an Optuna trial to what a training run needs."""

from optuna_evo.spaces._estimators import estimator_space
from optuna_evo.spaces._genome import genome_params
from optuna_evo.spaces._genome import genome_space
from optuna_evo.spaces._genome import suggest_genome
from optuna_evo.spaces._grids import grid_space
from optuna_evo.spaces._language_model import language_model_space
from optuna_evo.spaces._learned import genome_or_learned_space
from optuna_evo.spaces._learned import learned_optimizer_space
from optuna_evo.spaces._learned import suggest_learned_optimizer
from optuna_evo.spaces._training import training_space


__all__ = [
    "estimator_space",
    "genome_or_learned_space",
    "genome_params",
    "genome_space",
    "grid_space",
    "language_model_space",
    "learned_optimizer_space",
    "suggest_genome",
    "suggest_learned_optimizer",
    "training_space",
]

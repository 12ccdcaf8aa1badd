"""Cohorts: configurations in, trained members out; nothing here knows Optuna."""

from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._checkpoint import load_weights
from optuna_evo.trainers._checkpoint import read_checkpoint
from optuna_evo.trainers._checkpoint import write_checkpoint
from optuna_evo.trainers._cohort import Cohort
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._hardware import pick_precision
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._start import start


__all__ = [
    "Checkpoint",
    "Cohort",
    "load_splits",
    "load_weights",
    "Origin",
    "pick_precision",
    "read_checkpoint",
    "start",
    "write_checkpoint",
]

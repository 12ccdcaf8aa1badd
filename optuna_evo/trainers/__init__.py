"""Trainers: configurations in, validation metrics out; nothing here knows Optuna."""

from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._checkpoint import read_checkpoint
from optuna_evo.trainers._checkpoint import write_checkpoint
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._start import start
from optuna_evo.trainers._training import Training


__all__ = [
    "Training",
    "load_splits",
    "Checkpoint",
    "read_checkpoint",
    "Run",
    "start",
    "write_checkpoint",
]

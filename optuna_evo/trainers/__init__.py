"""Trainers: configurations in, validation metrics out; nothing here knows Optuna."""

from optuna_evo.trainers._curve import CurveObjective
from optuna_evo.trainers._curve import CurveRun
from optuna_evo.trainers._curve import train_finally
from optuna_evo.trainers._describe import describe
from optuna_evo.trainers._fitness import cell_fitness
from optuna_evo.trainers._fitness import FitnessObjective
from optuna_evo.trainers._fitness import FitnessRun
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._start import start


__all__ = [
    "cell_fitness",
    "CurveObjective",
    "CurveRun",
    "describe",
    "FitnessObjective",
    "FitnessRun",
    "Run",
    "start",
    "train_finally",
]

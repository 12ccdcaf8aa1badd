"""Trainers: configurations in, validation metrics out; nothing here knows Optuna."""

from optuna_evo.trainers._cells import cell_fitness
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._checkpoint import read_checkpoint
from optuna_evo.trainers._checkpoint import write_checkpoint
from optuna_evo.trainers._curve import CurveObjective
from optuna_evo.trainers._curve import CurveRun
from optuna_evo.trainers._curve import train_finally
from optuna_evo.trainers._describe import describe
from optuna_evo.trainers._fitness import FitnessObjective
from optuna_evo.trainers._fitness import FitnessRun
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._segment import SegmentObjective
from optuna_evo.trainers._segment import SegmentRun
from optuna_evo.trainers._segment import train_segments
from optuna_evo.trainers._start import start


__all__ = [
    "cell_fitness",
    "Checkpoint",
    "CurveObjective",
    "CurveRun",
    "describe",
    "FitnessObjective",
    "FitnessRun",
    "read_checkpoint",
    "Run",
    "SegmentObjective",
    "SegmentRun",
    "start",
    "train_finally",
    "train_segments",
    "write_checkpoint",
]

"""Learned optimizers: update rules whose coefficients a small network computes."""

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import Dense
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._controller import zero_
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._mlp import MLPController
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import join
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import split
from optuna_evo.learned._reading import State
from optuna_evo.learned._rule import ControllerRule
from optuna_evo.learned._rule import Run
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME


__all__ = [
    "Answer",
    "bounded",
    "Controller",
    "ControllerRule",
    "DEFAULT_MIXES",
    "Dense",
    "join",
    "mlp",
    "MLPController",
    "Reading",
    "Run",
    "seeded",
    "split",
    "State",
    "STATISTICS",
    "TIME",
    "zero_",
]

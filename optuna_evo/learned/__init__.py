"""Learned optimizers: update rules whose coefficients a small network computes."""

from optuna_evo.learned._columns import ColumnController
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import Dense
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._controller import zero_
from optuna_evo.learned._cost import step_cost
from optuna_evo.learned._features import normalised
from optuna_evo.learned._features import over_tensors
from optuna_evo.learned._freezing import freeze_
from optuna_evo.learned._graph import GraphController
from optuna_evo.learned._guard import LossGuard
from optuna_evo.learned._hybrid import HybridController
from optuna_evo.learned._kinds import build
from optuna_evo.learned._kinds import kind_of
from optuna_evo.learned._kinds import KINDS
from optuna_evo.learned._kinds import register
from optuna_evo.learned._kinds import with_base
from optuna_evo.learned._lstm import LSTMController
from optuna_evo.learned._memory import MemoryController
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._mlp import MLPController
from optuna_evo.learned._neurons import NeuronGraph
from optuna_evo.learned._online import OnlineRule
from optuna_evo.learned._optimizer import build_learned
from optuna_evo.learned._optimizer import LearnedOptimizer
from optuna_evo.learned._packed import packed
from optuna_evo.learned._packed import unpacked
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import join
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import split
from optuna_evo.learned._reading import State
from optuna_evo.learned._rule import ControllerRule
from optuna_evo.learned._rule import Run
from optuna_evo.learned._stack_guard import StackGuard
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME
from optuna_evo.learned._statistics import time_features
from optuna_evo.learned._store import controllers
from optuna_evo.learned._store import load_controller
from optuna_evo.learned._store import provenance_of
from optuna_evo.learned._store import resolve
from optuna_evo.learned._store import save_controller
from optuna_evo.learned._transformer import TransformerController


__all__ = [
    "Answer",
    "bounded",
    "build",
    "build_learned",
    "ColumnController",
    "Controller",
    "ControllerRule",
    "controllers",
    "DEFAULT_MIXES",
    "Dense",
    "freeze_",
    "GraphController",
    "HybridController",
    "join",
    "kind_of",
    "KINDS",
    "LearnedOptimizer",
    "load_controller",
    "LossGuard",
    "LSTMController",
    "MemoryController",
    "mlp",
    "MLPController",
    "NeuronGraph",
    "normalised",
    "OnlineRule",
    "over_tensors",
    "packed",
    "provenance_of",
    "Reading",
    "register",
    "resolve",
    "Run",
    "save_controller",
    "seeded",
    "split",
    "StackGuard",
    "State",
    "STATISTICS",
    "step_cost",
    "TIME",
    "time_features",
    "TransformerController",
    "unpacked",
    "with_base",
    "zero_",
]

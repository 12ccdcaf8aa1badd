"""Tasks: a model, data, a loss and a metric under one name; nothing here imports Optuna.

Data sets are read from a data folder (`--data-dir`, `OPTUNA_EVO_DATA`) or downloaded, and held in
memory as tensors. `tasks.get("digits")` needs neither files nor a network.
"""

from optuna_evo.tasks._augment import crop_and_flip
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._measures import scores
from optuna_evo.tasks._meta_features import mean_features
from optuna_evo.tasks._meta_features import meta_features
from optuna_evo.tasks._registry import get
from optuna_evo.tasks._registry import names
from optuna_evo.tasks._task import partition
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = [
    "accuracy",
    "crop_and_flip",
    "cross_entropy",
    "data_folder",
    "get",
    "mean_features",
    "meta_features",
    "names",
    "partition",
    "scores",
    "Split",
    "Splits",
    "Task",
]

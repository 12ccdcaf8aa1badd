"""The loop that asks, trains, reports, prunes and tells, and the database it lives in."""

from optuna_evo.search._ancestry import ancestors
from optuna_evo.search._ancestry import best_of
from optuna_evo.search._ancestry import living
from optuna_evo.search._ancestry import parent_of
from optuna_evo.search._artifacts import open_artifacts
from optuna_evo.search._checkpoints import AtomicFileSystemStore
from optuna_evo.search._checkpoints import CheckpointStore
from optuna_evo.search._checkpoints import open_checkpoints
from optuna_evo.search._failures import failure_attributes
from optuna_evo.search._lean import LeanStorage
from optuna_evo.search._lineage import Lineage
from optuna_evo.search._listing import check_trials
from optuna_evo.search._listing import open_study
from optuna_evo.search._listing import study_lines
from optuna_evo.search._listing import study_names
from optuna_evo.search._listing import StudyLine
from optuna_evo.search._loop import FINISHED
from optuna_evo.search._loop import search
from optuna_evo.search._protocols import Inheritance
from optuna_evo.search._protocols import Listener
from optuna_evo.search._protocols import Objective
from optuna_evo.search._protocols import Run
from optuna_evo.search._resilient import ResilientStorage
from optuna_evo.search._reuse import Curves
from optuna_evo.search._storage import database_exists
from optuna_evo.search._storage import default_url
from optuna_evo.search._storage import make_durable
from optuna_evo.search._storage import open_storage
from optuna_evo.search._storage import upgrade_tables
from optuna_evo.search._unlogged import unlogged_study


__all__ = [
    "open_artifacts",
    "ancestors",
    "AtomicFileSystemStore",
    "best_of",
    "check_trials",
    "CheckpointStore",
    "Curves",
    "database_exists",
    "default_url",
    "failure_attributes",
    "FINISHED",
    "Inheritance",
    "LeanStorage",
    "Lineage",
    "Listener",
    "living",
    "make_durable",
    "open_checkpoints",
    "Objective",
    "open_storage",
    "open_study",
    "parent_of",
    "ResilientStorage",
    "Run",
    "search",
    "study_lines",
    "study_names",
    "StudyLine",
    "upgrade_tables",
    "unlogged_study",
]

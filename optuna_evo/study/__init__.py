"""The composition root: from a spec to a study in a database, and on to a running search."""

from optuna_evo.study._compare import comparison_specs
from optuna_evo.study._compare import count_finished
from optuna_evo.study._compare import read_comparison
from optuna_evo.study._compare import run_comparison
from optuna_evo.study._copying import copy_study
from optuna_evo.study._dashboard import show_in_dashboard
from optuna_evo.study._environment import note_environment
from optuna_evo.study._foreign import foreign_names
from optuna_evo.study._imports._runs import ImportedRuns
from optuna_evo.study._imports._runs import read_runs
from optuna_evo.study._imports._space import read_space
from optuna_evo.study._imports._store import check_free
from optuna_evo.study._imports._store import import_runs
from optuna_evo.study._imports._store import store_runs
from optuna_evo.study._judging import judge_stored
from optuna_evo.study._judging import last_judgement
from optuna_evo.study._next import controller_lines
from optuna_evo.study._next import next_lines
from optuna_evo.study._next import state_of
from optuna_evo.study._next import StudyState
from optuna_evo.study._pages import DashboardPages
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_sampler
from optuna_evo.study._parts import build_space
from optuna_evo.study._parts import check_parts
from optuna_evo.study._parts import resolve_spec
from optuna_evo.study._parts import space_parameters
from optuna_evo.study._reporting import study_report
from optuna_evo.study._run import best_genome
from optuna_evo.study._run import best_optimizer
from optuna_evo.study._run import best_settings
from optuna_evo.study._run import best_trial
from optuna_evo.study._run import final_metrics
from optuna_evo.study._run import judge_study
from optuna_evo.study._run import run_study
from optuna_evo.study._run import stored_judgement
from optuna_evo.study._run import train_best
from optuna_evo.study._runs import note_run
from optuna_evo.study._stored import checkpoints_of
from optuna_evo.study._stored import create_study
from optuna_evo.study._stored import delete_study
from optuna_evo.study._stored import load_study
from optuna_evo.study._stored import refresh_sources
from optuna_evo.study._stored import StoredStudy
from optuna_evo.study._trained import best_controller
from optuna_evo.study._trained import trace_best
from optuna_evo.study._tuning import smart_hyperparameter_tuning
from optuna_evo.study._tuning import train_model_with_params
from optuna_evo.study._tuning import TrainedModel
from optuna_evo.study._tuning import TuningResult
from optuna_evo.study._upgrading import upgrade_studies


__all__ = [
    "controller_lines",
    "DashboardPages",
    "note_run",
    "study_report",
    "StudyState",
    "state_of",
    "next_lines",
    "best_controller",
    "best_genome",
    "best_optimizer",
    "best_settings",
    "best_trial",
    "build_objective",
    "build_sampler",
    "build_space",
    "check_free",
    "check_parts",
    "checkpoints_of",
    "comparison_specs",
    "copy_study",
    "count_finished",
    "create_study",
    "delete_study",
    "foreign_names",
    "final_metrics",
    "judge_stored",
    "import_runs",
    "ImportedRuns",
    "judge_study",
    "last_judgement",
    "load_study",
    "note_environment",
    "read_comparison",
    "read_runs",
    "read_space",
    "refresh_sources",
    "resolve_spec",
    "run_comparison",
    "run_study",
    "show_in_dashboard",
    "space_parameters",
    "smart_hyperparameter_tuning",
    "store_runs",
    "stored_judgement",
    "StoredStudy",
    "trace_best",
    "train_best",
    "upgrade_studies",
    "train_model_with_params",
    "TrainedModel",
    "TuningResult",
]

"""scikit-learn's regressors and classifiers, and the tables that they are fitted to."""

from optuna_evo.estimators._build import build_estimator
from optuna_evo.estimators._files import Frame
from optuna_evo.estimators._files import read_frame
from optuna_evo.estimators._table import load_table
from optuna_evo.estimators._table import Table
from optuna_evo.estimators._table import table_names


__all__ = [
    "build_estimator",
    "Frame",
    "load_table",
    "read_frame",
    "Table",
    "table_names",
]

"""scikit-learn's regressors and classifiers on tables: a second kind of thing to be valued.

No torch is needed. `EstimatorObjective` goes where a trainer's objective goes, in `search`.
"""

from optuna_evo.estimators._build import build_estimator
from optuna_evo.estimators._describe import describe_table
from optuna_evo.estimators._objective import EstimatorObjective
from optuna_evo.estimators._objective import EstimatorRun
from optuna_evo.estimators._table import load_table
from optuna_evo.estimators._table import Table
from optuna_evo.estimators._table import table_names


__all__ = [
    "build_estimator",
    "describe_table",
    "EstimatorObjective",
    "EstimatorRun",
    "load_table",
    "Table",
    "table_names",
]

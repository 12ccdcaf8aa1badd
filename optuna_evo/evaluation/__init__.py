"""The judge: a found optimizer compared with tuned classic ones on test data."""

from optuna_evo.evaluation._judge import Interval
from optuna_evo.evaluation._judge import judge
from optuna_evo.evaluation._judge import JudgeRow
from optuna_evo.evaluation._judge import tune_baseline


__all__ = [
    "Interval",
    "judge",
    "JudgeRow",
    "tune_baseline",
]

"""The judge: a found optimizer compared with tuned classic ones on test data."""

from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._judge import judge
from optuna_evo.evaluation._judge import JudgeRow
from optuna_evo.evaluation._judge import tune_baseline
from optuna_evo.evaluation._paired import holm
from optuna_evo.evaluation._paired import Paired
from optuna_evo.evaluation._paired import paired
from optuna_evo.evaluation._paired import sign_flip


__all__ = [
    "holm",
    "Interval",
    "judge",
    "JudgeRow",
    "Paired",
    "paired",
    "sign_flip",
    "tune_baseline",
]

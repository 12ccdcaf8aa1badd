"""How good a found optimizer is: the comparison on test data."""

from optuna_evo.evaluation._judge import Interval
from optuna_evo.evaluation._judge import judge
from optuna_evo.evaluation._judge import JudgeRow


__all__ = [
    "Interval",
    "judge",
    "JudgeRow",
]

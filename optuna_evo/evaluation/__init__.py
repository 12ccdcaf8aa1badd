"""The judge: a found optimizer compared with tuned classic ones on test data."""

from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._judge import judge
from optuna_evo.evaluation._judge import JudgeRow
from optuna_evo.evaluation._judge import tune_baseline
from optuna_evo.evaluation._paired import holm
from optuna_evo.evaluation._paired import Paired
from optuna_evo.evaluation._paired import paired
from optuna_evo.evaluation._paired import sign_flip
from optuna_evo.evaluation._profile import lr_sensitivity
from optuna_evo.evaluation._profile import LrSensitivity
from optuna_evo.evaluation._profile import Profile
from optuna_evo.evaluation._profile import profiles
from optuna_evo.evaluation._profile import speed_up
from optuna_evo.evaluation._profile import SpeedUp
from optuna_evo.evaluation._profile import time_to_target
from optuna_evo.evaluation._simplify import Look
from optuna_evo.evaluation._simplify import Simplified
from optuna_evo.evaluation._simplify import simplify
from optuna_evo.evaluation._simplify import simplify_by
from optuna_evo.evaluation._simplify import tidy
from optuna_evo.evaluation._verdict import better
from optuna_evo.evaluation._verdict import valid
from optuna_evo.evaluation._verdict import Verdict
from optuna_evo.evaluation._winner import confirm_winner
from optuna_evo.evaluation._winner import Narrowed
from optuna_evo.evaluation._winner import until_narrow
from optuna_evo.evaluation._winner import Winner


__all__ = [
    "better",
    "confirm_winner",
    "holm",
    "Interval",
    "judge",
    "JudgeRow",
    "Look",
    "lr_sensitivity",
    "LrSensitivity",
    "Narrowed",
    "Paired",
    "paired",
    "Profile",
    "profiles",
    "sign_flip",
    "Simplified",
    "simplify",
    "simplify_by",
    "speed_up",
    "SpeedUp",
    "tidy",
    "time_to_target",
    "tune_baseline",
    "until_narrow",
    "valid",
    "Verdict",
    "Winner",
]

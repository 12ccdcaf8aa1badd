"""The judge: a found optimizer compared with tuned classic ones on test data."""

from optuna_evo.evaluation._baselines import BASELINES
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._jobs import Book
from optuna_evo.evaluation._jobs import JUDGE_PART
from optuna_evo.evaluation._judge import AGAINST
from optuna_evo.evaluation._judge import judge
from optuna_evo.evaluation._judgement import Judgement
from optuna_evo.evaluation._judgement import Line
from optuna_evo.evaluation._judgement import Table
from optuna_evo.evaluation._judgement_row import JudgementRow
from optuna_evo.evaluation._judgement_row import Tuned
from optuna_evo.evaluation._named import contestant_of
from optuna_evo.evaluation._named import optimizer_of
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
from optuna_evo.evaluation._quick import JudgeRow
from optuna_evo.evaluation._quick import quick_judge
from optuna_evo.evaluation._quick import tune_baseline
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
from optuna_evo.evaluation._workload import parse_workload
from optuna_evo.evaluation._workload import unseen_workloads
from optuna_evo.evaluation._workload import Workload


__all__ = [
    "AGAINST",
    "BASELINES",
    "better",
    "Book",
    "Contestant",
    "contestant_of",
    "JUDGE_PART",
    "Judgement",
    "JudgementRow",
    "Line",
    "optimizer_of",
    "parse_workload",
    "quick_judge",
    "Table",
    "Tuned",
    "unseen_workloads",
    "Workload",
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

"""Models that predict a trial's result from its configuration: numpy and scipy, never torch."""

from optuna_evo.surrogates._activity import deactivate
from optuna_evo.surrogates._activity import learn_rules
from optuna_evo.surrogates._activity import Rule
from optuna_evo.surrogates._encoding import SpaceEncoding
from optuna_evo.surrogates._gp import condition
from optuna_evo.surrogates._gp import fit_kernel
from optuna_evo.surrogates._gp import Kernel
from optuna_evo.surrogates._gp import Posterior
from optuna_evo.surrogates._meta_learner import MetaLearner
from optuna_evo.surrogates._meta_learner import TrainedMetaLearner
from optuna_evo.surrogates._warp import bound
from optuna_evo.surrogates._warp import standardise
from optuna_evo.surrogates._warp import warp


__all__ = [
    "bound",
    "condition",
    "deactivate",
    "fit_kernel",
    "Kernel",
    "learn_rules",
    "MetaLearner",
    "Posterior",
    "Rule",
    "SpaceEncoding",
    "standardise",
    "TrainedMetaLearner",
    "warp",
]

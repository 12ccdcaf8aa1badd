"""Models that predict a trial's result from its configuration: numpy and scipy, never torch."""

from optuna_evo.surrogates._activity import ActivityCondition
from optuna_evo.surrogates._activity import deactivate
from optuna_evo.surrogates._activity import learn_rules
from optuna_evo.surrogates._activity import n_active
from optuna_evo.surrogates._encoding import Axis
from optuna_evo.surrogates._encoding import contains
from optuna_evo.surrogates._encoding import SpaceEncoding
from optuna_evo.surrogates._gp import condition
from optuna_evo.surrogates._gp import fit_kernel
from optuna_evo.surrogates._gp import Kernel
from optuna_evo.surrogates._gp import Posterior
from optuna_evo.surrogates._gp import Predictive
from optuna_evo.surrogates._gp import squared_distances
from optuna_evo.surrogates._informed import fit_informed
from optuna_evo.surrogates._informed import inform
from optuna_evo.surrogates._informed import InformedKernel
from optuna_evo.surrogates._informed import InformedPosterior
from optuna_evo.surrogates._informed import source_shares
from optuna_evo.surrogates._meta_learner import MetaLearner
from optuna_evo.surrogates._meta_learner import TrainedMetaLearner
from optuna_evo.surrogates._scale import grid_index
from optuna_evo.surrogates._scale import grid_value
from optuna_evo.surrogates._scale import interpolate
from optuna_evo.surrogates._scale import locate
from optuna_evo.surrogates._scale import n_grid_levels
from optuna_evo.surrogates._scores import predict_scores
from optuna_evo.surrogates._scores import ScorePredictor
from optuna_evo.surrogates._sources import fit_sources
from optuna_evo.surrogates._sources import SourceModels
from optuna_evo.surrogates._sources import SourceRows
from optuna_evo.surrogates._warp import bound
from optuna_evo.surrogates._warp import is_ordinary
from optuna_evo.surrogates._warp import standardise
from optuna_evo.surrogates._warp import warp
from optuna_evo.surrogates._warp import warp_around


__all__ = [
    "ActivityCondition",
    "Axis",
    "bound",
    "condition",
    "contains",
    "deactivate",
    "fit_informed",
    "fit_kernel",
    "fit_sources",
    "grid_index",
    "grid_value",
    "inform",
    "InformedKernel",
    "InformedPosterior",
    "interpolate",
    "is_ordinary",
    "Kernel",
    "learn_rules",
    "locate",
    "MetaLearner",
    "n_active",
    "n_grid_levels",
    "Posterior",
    "predict_scores",
    "Predictive",
    "ScorePredictor",
    "source_shares",
    "SourceModels",
    "SourceRows",
    "SpaceEncoding",
    "squared_distances",
    "standardise",
    "TrainedMetaLearner",
    "warp",
    "warp_around",
]

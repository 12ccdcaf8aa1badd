"""Objectives: what the trials of a study train or fit, and how that becomes their values.

`OBJECTIVES` names the kinds of them. A kind (`ObjectiveKind`) says what a study has to know of its
objective: what it takes, how it is built and described, how a finished study ends. A new one is a
file in `_kinds` and a line in `OBJECTIVES`; a user's own is named by "module:attribute".

Names are loaded when they are first used: an objective that fits a table needs no torch.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.objectives._curve import CurveObjective as CurveObjective
    from optuna_evo.objectives._curve import CurveRun as CurveRun
    from optuna_evo.objectives._describe import describe as describe
    from optuna_evo.objectives._describe_table import describe_table as describe_table
    from optuna_evo.objectives._final import FinalTraining as FinalTraining
    from optuna_evo.objectives._final import train_finally as train_finally
    from optuna_evo.objectives._fitness import cell_fitness as cell_fitness
    from optuna_evo.objectives._fitness import FitnessObjective as FitnessObjective
    from optuna_evo.objectives._fitness import FitnessRun as FitnessRun
    from optuna_evo.objectives._function import FunctionObjective as FunctionObjective
    from optuna_evo.objectives._function import OpenTrial as OpenTrial
    from optuna_evo.objectives._kind import FinalResult as FinalResult
    from optuna_evo.objectives._kind import ObjectiveKind as ObjectiveKind
    from optuna_evo.objectives._kinds._training import build_tasks as build_tasks
    from optuna_evo.objectives._kinds._training import pick_device as pick_device
    from optuna_evo.objectives._meta_loss import adapted as adapted
    from optuna_evo.objectives._meta_loss import LossAndCost as LossAndCost
    from optuna_evo.objectives._meta_loss import MetaLossObjective as MetaLossObjective
    from optuna_evo.objectives._meta_loss import MetaLossRun as MetaLossRun
    from optuna_evo.objectives._registry import check_config as check_config
    from optuna_evo.objectives._registry import check_spec as check_spec
    from optuna_evo.objectives._registry import check_use as check_use
    from optuna_evo.objectives._registry import kind_of as kind_of
    from optuna_evo.objectives._registry import OBJECTIVES as OBJECTIVES
    from optuna_evo.objectives._segment import SegmentObjective as SegmentObjective
    from optuna_evo.objectives._segment import SegmentRun as SegmentRun
    from optuna_evo.objectives._segment import train_segments as train_segments
    from optuna_evo.objectives._table import EstimatorObjective as EstimatorObjective
    from optuna_evo.objectives._table import EstimatorRun as EstimatorRun

_EXPORTS = {
    "cell_fitness": "_fitness",
    "CurveObjective": "_curve",
    "CurveRun": "_curve",
    "FinalTraining": "_final",
    "train_finally": "_final",
    "describe": "_describe",
    "describe_table": "_describe_table",
    "FitnessObjective": "_fitness",
    "FitnessRun": "_fitness",
    "FunctionObjective": "_function",
    "OpenTrial": "_function",
    "FinalResult": "_kind",
    "ObjectiveKind": "_kind",
    "build_tasks": "_kinds._training",
    "pick_device": "_kinds._training",
    "adapted": "_meta_loss",
    "LossAndCost": "_meta_loss",
    "MetaLossObjective": "_meta_loss",
    "MetaLossRun": "_meta_loss",
    "check_config": "_registry",
    "check_spec": "_registry",
    "check_use": "_registry",
    "kind_of": "_registry",
    "OBJECTIVES": "_registry",
    "SegmentObjective": "_segment",
    "SegmentRun": "_segment",
    "train_segments": "_segment",
    "EstimatorObjective": "_table",
    "EstimatorRun": "_table",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)

"""What is known about an objective's tasks before anything is trained."""

import torch

from optuna_evo.objectives._curve import CurveObjective
from optuna_evo.objectives._fitness import FitnessObjective
from optuna_evo.tasks import mean_features
from optuna_evo.tasks import meta_features
from optuna_evo.trainers import load_splits


__all__ = ["describe"]


def describe(objective: FitnessObjective | CurveObjective) -> dict[str, float]:
    """Return the meta-features of the objective's task, or their means over its tasks.

    The data are loaded as a training loads them, once a process.

    Raises:
        DataError: If they are not there and cannot be had.
    """
    tasks = objective.tasks if isinstance(objective, FitnessObjective) else [objective.task]
    device = torch.device(objective.device)
    described = [
        meta_features(task, load_splits(task, objective.data_dir, device)) for task in tasks
    ]
    return mean_features(described)

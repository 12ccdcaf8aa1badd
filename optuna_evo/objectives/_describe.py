"""What is known about an objective's tasks before anything is trained."""

from collections.abc import Sequence
from pathlib import Path

import torch

from optuna_evo.tasks import mean_features
from optuna_evo.tasks import meta_features
from optuna_evo.tasks import Task
from optuna_evo.trainers import load_splits


__all__ = ["describe"]


def describe(
    tasks: Sequence[Task], *, device: str = "cpu", data_dir: Path | None = None
) -> dict[str, float]:
    """Return the means of the tasks' meta-features.

    The data are loaded as a training loads them, once a process.

    Args:
        tasks: The tasks of an objective.
        device: Where trainings run.
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.

    Raises:
        DataError: If they are not there and cannot be had.

    Example:
        >>> from optuna_evo import tasks
        >>> describe([tasks.get("digits")])["n_rows"]
        1077.0
    """
    where = torch.device(device)
    return mean_features(
        [meta_features(task, load_splits(task, data_dir, where)) for task in tasks]
    )

"""Which trainer trains: the one way in."""

from collections.abc import Sequence
from pathlib import Path

import torch

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Task
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._sequential import SequentialRun


__all__ = ["start"]


def start(
    configs: Sequence[TrainingConfig],
    task: Task,
    *,
    seed: int,
    total_steps: int,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    data_dir: Path | None = None,
    loss_window: int = 50,
) -> Run:
    """Begin to train configurations on a task.

    On a CPU the outcome is bit-identical for the same arguments on the same machine, whatever ran
    before, and in whatever pieces it is advanced. The global random generators are left as they
    were; the number of threads is never touched.

    Args:
        configs:
            What to train.
        task:
            What to train on. Its test split is not loaded.
        seed:
            Decides initial weights, order of rows, augmentation and dropout, alike for all
            members; >= 0.
        total_steps:
            Length of the whole run in optimizer steps, which schedules refer to; >= 1.
        device:
            torch device.
        precision:
            "float32", "bfloat16" (autocast; weights stay float32), or "auto": bfloat16 where the
            task allows it and the hardware has instructions for it.
        data_dir:
            Folder with data files; None: `OPTUNA_EVO_DATA`, else downloads.
        loss_window:
            Number of last steps that `Run.losses` averages; >= 1.

    Raises:
        ValueError: If an argument is out of range, or a configuration does not fit the task.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> from optuna_evo import catalog, tasks, trainers, TrainingConfig
        >>> configs = [TrainingConfig(genome=catalog[name]) for name in ("adamw", "sgd")]
        >>> run = trainers.start(configs, tasks.get("digits"), seed=0, total_steps=300)
        >>> run.advance(300)  # validation accuracies
    """
    return SequentialRun(
        configs,
        task,
        seed=seed,
        total_steps=total_steps,
        device=torch.device(device),
        precision=precision,
        data_dir=data_dir,
        loss_window=loss_window,
    )

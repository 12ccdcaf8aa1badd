"""Which trainer trains: the one way in."""

from collections.abc import Sequence
import json
from pathlib import Path

import torch

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Task
from optuna_evo.trainers._plan import choose
from optuna_evo.trainers._population import PopulationRun
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._sequential import SequentialRun
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._side_by_side import SideBySideRun


__all__ = ["start", "TRAINERS"]

TRAINERS = ("auto", "sequential", "population")


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
    trainer: str = "auto",
) -> Run:
    """Begin to train configurations on a task.

    On a CPU the outcome of a trainer is bit-identical for the same arguments on the same machine,
    whatever ran before, and in whatever pieces it is advanced. The global random generators are
    left as they were; the number of threads is never touched.

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
        trainer:
            "sequential" trains one member after another, "population" those that differ in their
            genomes only all at once, and "auto" whichever it measures to be faster here, once a
            process for each kind of run. The two agree up to the rounding of sums, so "auto" may
            round differently on another day; a single member always trains alone.

    Raises:
        ValueError: If an argument is out of range, or a configuration does not fit the task.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> from optuna_evo import catalog, tasks, trainers, TrainingConfig
        >>> configs = [TrainingConfig(genome=catalog[name]) for name in ("adamw", "sgd")]
        >>> run = trainers.start(configs, tasks.get("digits"), seed=0, total_steps=300)
        >>> run.advance(300)  # validation accuracies
    """
    if trainer not in TRAINERS:
        raise ValueError(f"`trainer` must be one of {TRAINERS}, got {trainer!r}.")
    setting = Setting.of(
        task,
        seed=seed,
        total_steps=total_steps,
        device=torch.device(device),
        precision=precision,
        data_dir=data_dir,
        loss_window=loss_window,
    )
    parts: list[tuple[Run, list[int]]] = []
    alone: list[int] = []
    for numbers in _alike(configs, setting):
        like = [configs[number] for number in numbers]
        plan = choose(like, setting, trainer)
        if plan is None:
            alone += numbers
            continue
        for first in range(0, len(numbers), plan.width):
            chunk = numbers[first : first + plan.width]
            stacked = PopulationRun([configs[n] for n in chunk], setting, plan.make_forward)
            parts.append((stacked, chunk))
    if alone or not parts:
        alone.sort()
        parts.append((SequentialRun([configs[n] for n in alone], setting), alone))
    return parts[0][0] if len(parts) == 1 else SideBySideRun(parts)


def _alike(configs: Sequence[TrainingConfig], setting: Setting) -> list[list[int]]:
    """Return the numbers of configurations that differ in their genomes only, group by group."""
    groups: dict[tuple[int, str], list[int]] = {}
    for number, config in enumerate(configs):
        model = json.dumps(dict(config.model), sort_keys=True, default=repr)
        groups.setdefault((setting.batch_size(config), model), []).append(number)
    return list(groups.values())

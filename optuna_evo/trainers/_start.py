"""Which trainer trains: the one way in."""

from collections.abc import Sequence
import json
from pathlib import Path

import torch

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Task
from optuna_evo.trainers._cohort import Cohort
from optuna_evo.trainers._origin import can_stack
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._plan import choose
from optuna_evo.trainers._population import PopulationCohort
from optuna_evo.trainers._sequential import SequentialCohort
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._side_by_side import SideBySideCohort


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
    origins: Sequence[Origin] | None = None,
    segment: bool = False,
) -> Cohort:
    """Begin to train configurations on a task.

    On a CPU the outcome of a kind of cohort is bit-identical for the same arguments on the same
    machine, whatever ran before, in whatever pieces it is trained, and over whatever checkpoints.
    The global random generators are left as they were, and so is the number of threads: models
    of at most 50,000 parameters train on one, unless in a stack.

    Args:
        configs:
            What to train.
        task:
            What to train on. Its test split is not loaded.
        seed:
            Decides initial weights, order of rows, augmentation and dropout, alike for all
            members; >= 0.
        total_steps:
            Optimizer steps of the whole run, which schedules refer to; >= 1. Of a segment: its
            own steps.
        device:
            torch device.
        precision:
            "float32", "bfloat16" (autocast; weights stay float32), or "auto": bfloat16 where the
            task allows it and the hardware has instructions for it. Segments know "float16" too
            (with a gradient scaler).
        data_dir:
            Folder with data files; None: `OPTUNA_EVO_DATA`, else downloads.
        loss_window:
            Number of last steps that `Cohort.losses` averages; >= 1.
        trainer:
            "sequential" trains one member after another, "population" compatible members all at
            once, and "auto" whichever it measures to be faster here, once a process for each kind
            of run. The two agree up to the rounding of sums, so "auto" may round differently on
            another day; with it a single member always trains alone. Compatible members have
            genomes, one batch size, equal model arguments and origins after the same steps and
            rows; others train one after another whatever is asked for, and so does float16.
        origins:
            What each member goes on from, None for fresh weights; None: all from fresh weights.
        segment:
            Whether the run is a segment of a longer training: schedules go by the optimizers'
            own horizons and the steps since fresh weights, and gradient norms are measured.

    Raises:
        ValueError: If an argument is out of range, or a configuration does not fit the task.
        CheckpointError: If an origin is of another task or seed, or does not fit its member.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> from optuna_evo import catalog, tasks, trainers, TrainingConfig
        >>> configs = [TrainingConfig(genome=catalog[name]) for name in ("adamw", "sgd")]
        >>> cohort = trainers.start(configs, tasks.get("digits"), seed=0, total_steps=300)
        >>> cohort.train(300)
        >>> cohort.evaluate()  # validation accuracies
    """
    if trainer not in TRAINERS:
        raise ValueError(f"`trainer` must be one of {TRAINERS}, got {trainer!r}.")
    if origins is None:
        origins = [None] * len(configs)
    elif len(origins) != len(configs):
        raise ValueError(
            f"`origins` must have one entry for each of {len(configs)} configurations, "
            f"got {len(origins)}."
        )
    setting = Setting.of(
        task,
        seed=seed,
        total_steps=total_steps,
        device=torch.device(device),
        precision=precision,
        data_dir=data_dir,
        loss_window=loss_window,
        segment=segment,
        first_steps=[origin.step for origin in origins if origin is not None],
    )
    parts: list[tuple[Cohort, list[int]]] = []
    alone = set(range(len(configs)))
    for numbers in _compatible(configs, origins, setting):
        plan = choose([configs[number] for number in numbers], setting, trainer)
        if plan is None:
            continue
        alone -= set(numbers)
        for first in range(0, len(numbers), plan.width):
            chunk = numbers[first : first + plan.width]
            members, starts = [configs[n] for n in chunk], [origins[n] for n in chunk]
            parts.append((PopulationCohort(members, setting, plan.make_forward, starts), chunk))
    if alone or not parts:
        chunk = sorted(alone)
        members, starts = [configs[n] for n in chunk], [origins[n] for n in chunk]
        parts.append((SequentialCohort(members, setting, starts), chunk))
    return parts[0][0] if len(parts) == 1 else SideBySideCohort(parts)


def _compatible(
    configs: Sequence[TrainingConfig], origins: Sequence[Origin], setting: Setting
) -> list[list[int]]:
    """Return the numbers of members that one stack can hold, group by group."""
    groups: dict[tuple[int, str, int, int], list[int]] = {}
    for number, (config, origin) in enumerate(zip(configs, origins, strict=True)):
        if not can_stack(config, origin, setting):
            continue
        model = json.dumps(dict(config.model), sort_keys=True, default=repr)
        step, position = (origin.step, origin.position) if origin else (0, 0)
        key = (setting.batch_size(config), model, step, position)
        groups.setdefault(key, []).append(number)
    return list(groups.values())

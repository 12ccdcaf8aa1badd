"""The validation metric of one training, reported along the way."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import torch

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._identity import identity
from optuna_evo.trainers._run import Run
from optuna_evo.trainers._start import start


__all__ = ["CurveObjective", "CurveRun", "train_finally"]

_SEEDS_A_REPETITION = 1000


@dataclass(frozen=True, kw_only=True)
class CurveObjective:
    """The metric at the end of one training, which may end early.

    Args:
        task: What is trained.
        seed: Seed of the training.
        epochs: Passes over the training rows; None: `steps` counts.
        steps: Optimizer steps where `epochs` is None.
        reports: Reports of a whole training, evenly spread.
        penalty: What a diverged trial is told.
        device: torch device.
        precision: "auto", "float32" or "bfloat16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
    """

    task: Task
    seed: int
    epochs: float | None = None
    steps: int = 500
    reports: int = 10
    penalty: float = -1.0
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    report_every: int = 1

    @property
    def n_steps(self) -> int:
        """Number of reports."""
        return self.reports

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int = 0) -> "CurveRun":
        """Begin to train the configurations; another `repetition` uses other seeds."""
        return CurveRun(configs, self, repetition)

    def value(self, reported: Sequence[float]) -> float:
        """Return the last value."""
        return reported[-1]

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and report alike."""
        return identity(self)

    def total_steps(self, config: TrainingConfig) -> int:
        """Return the optimizer steps of a whole training."""
        if self.epochs is None:
            return max(self.steps, self.reports)
        splits = load_splits(self.task, self.data_dir, torch.device(self.device))
        return max(_steps_of(self.epochs, len(splits.train), self.task, config), self.reports)


class CurveRun:
    """Trainings of a batch of configurations, each over its own number of steps.

    A step of the run is one report: the same share of each training, whatever its batch size.
    """

    def __init__(
        self, configs: Sequence[TrainingConfig], objective: CurveObjective, repetition: int
    ) -> None:
        self.step = 0
        self._reports = objective.reports
        seed = objective.seed + repetition * _SEEDS_A_REPETITION
        totals = [objective.total_steps(config) for config in configs]
        self._members = [
            (total, _start_one(config, objective.task, objective, seed=seed, total_steps=total))
            for config, total in zip(configs, totals, strict=True)
        ]

    def advance(self, n_steps: int) -> list[float]:
        """Train on to the next report and return the metric of each live member."""
        self.step += n_steps
        return [
            run.advance(total * self.step // self._reports - run.step)[0]
            for total, run in self._members
        ]

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return the training loss of each member and the optimizer steps it took."""
        return [_record(run, total) for total, run in self._members]


def train_finally(
    config: TrainingConfig, objective: CurveObjective, *, epochs: float, cosine: bool, seed: int
) -> float:
    """Train once more on all rows but the test's and return the metric on the test split.

    Args:
        config: What to train.
        objective: Task, device and precision.
        epochs: Passes over the training and validation rows together.
        cosine: Whether the learning rate decays along a cosine, whatever the genome says.
        seed: Seed of the training.

    Returns:
        The metric on the test split; NaN if the training diverged.
    """
    task = dataclasses.replace(objective.task, load=lambda folder: _merged(objective.task, folder))
    splits = load_splits(task, objective.data_dir, torch.device(objective.device))
    total = _steps_of(epochs, len(splits.train), task, config)
    if cosine:
        genome = dataclasses.replace(config.genome, use_cosine_decay=True)
        config = dataclasses.replace(config, genome=genome)
    run = _start_one(config, task, objective, seed=seed, total_steps=total)
    run.advance(total)
    return run.evaluate(task.load_test(objective.data_dir))[0]


def _merged(task: Task, folder: Path | None) -> Splits:
    """Put the validation rows to the training rows; a few of them stand for validation still."""
    parts = task.load(folder)
    train = Split(
        torch.cat([parts.train.inputs, parts.valid.inputs]),
        torch.cat([parts.train.targets, parts.valid.targets]),
    )
    return Splits(train, Split(parts.valid.inputs[:100], parts.valid.targets[:100]), parts.source)


def _steps_of(epochs: float, n_rows: int, task: Task, config: TrainingConfig) -> int:
    return max(1, math.ceil(epochs * n_rows / (config.batch_size or task.batch_size)))


def _start_one(
    config: TrainingConfig, task: Task, objective: CurveObjective, *, seed: int, total_steps: int
) -> Run:
    return start(
        [config],
        task,
        seed=seed,
        total_steps=total_steps,
        device=objective.device,
        precision=objective.precision,
        data_dir=objective.data_dir,
    )


def _record(run: Run, total: int) -> dict[str, Any]:
    loss = run.losses()[0]
    finite = {"train_loss": loss} if math.isfinite(loss) else {}
    return {"optimizer_steps": run.step, "share_trained": run.step / total, **finite}

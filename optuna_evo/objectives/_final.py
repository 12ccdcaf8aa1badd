"""Trainings of whole tasks and what they measure; the final one of a study."""

from collections.abc import Sequence
import dataclasses
import math
from pathlib import Path
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.metrics import LOSS
from optuna_evo.metrics import metric_names
from optuna_evo.tasks import scores
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import load_splits
from optuna_evo.trainers import start


__all__ = ["FinalTraining", "loss_of", "start_cohort", "steps_of", "train_finally", "value_of"]


class Curve(Protocol):
    """What of a `CurveObjective` a training is started and measured by."""

    @property
    def task(self) -> Task: ...
    @property
    def metric(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def data_dir(self) -> Path | None: ...
    @property
    def trainer(self) -> str: ...


class FinalTraining(NamedTuple):
    """What a final training came to, on test data; NaN if it diverged.

    Args:
        metric: What the study optimizes.
        metrics: All metrics of the task, and its mean loss as "loss".
        train_metrics: The task's own metric on the last 1,000 rows trained on, after each epoch.
    """

    metric: float
    metrics: dict[str, float]
    train_metrics: list[float]


def train_finally(
    config: TrainingConfig,
    objective: Curve,
    *,
    epochs: float,
    cosine: bool,
    seed: int,
) -> FinalTraining:
    """Train once more on all rows but the test's and measure the test split.

    Args:
        config: What to train.
        objective: Task, device and precision.
        epochs: Passes over the training and validation rows together.
        cosine: Whether the learning rate decays along a cosine, whatever the optimizer says.
        seed: Seed of the training.
    """
    task = dataclasses.replace(objective.task, load=lambda folder: _merged(objective.task, folder))
    splits = load_splits(task, objective.data_dir, torch.device(objective.device))
    total = steps_of(epochs, len(splits.train), task, config)
    if cosine:
        config = config.with_cosine()
    cohort = start_cohort([config], task, objective, seed=seed, total_steps=total)
    seen = splits.train.take(torch.arange(max(0, len(splits.train) - 1_000), len(splits.train)))
    train_metrics = []
    for epoch in range(1, math.ceil(epochs) + 1):
        last = steps_of(min(epoch, epochs), len(splits.train), task, config)
        cohort.train(min(last, total) - cohort.step)
        train_metrics.append(cohort.evaluate(seen)[0])
    test = task.load_test(objective.data_dir)
    if not metric_names(task.kind):  # the outputs of a language model may be too many to keep
        loss = cohort.evaluate(test, measure=task.loss)[0]
        metric = loss if objective.metric == LOSS else cohort.evaluate(test)[0]
        return FinalTraining(metric, _finite({LOSS: loss}), train_metrics)
    outputs = cohort.outputs(test)[0]
    test = dataclasses.replace(test, targets=test.targets.to(objective.device))
    metrics = {LOSS: loss_of(task, outputs, test)}
    if isinstance(outputs, Tensor):
        metrics |= scores(task, outputs, test)
    return FinalTraining(value_of(objective, outputs, test), _finite(metrics), train_metrics)


def loss_of(task: Task, outputs: Any, split: Split) -> float:
    """Return the mean loss of the outputs for a split; NaN where there are none."""
    return math.nan if outputs is None else float(task.loss(outputs, split.targets))


def value_of(objective: Curve, outputs: Any, split: Split) -> float:
    """Return the metric of the outputs for a split; NaN where there are none."""
    if outputs is None:
        return math.nan
    if objective.metric is None:
        return float(objective.task.metric(outputs, split.targets))
    if objective.metric == LOSS:
        return loss_of(objective.task, outputs, split)
    if not isinstance(outputs, Tensor):
        raise UsageError(
            f"`objective.metric` {objective.metric!r} needs one tensor of outputs, and the model "
            f"of {objective.task.name!r} returns {type(outputs).__name__}: leave it out, and the "
            "task's own metric counts."
        )
    return scores(objective.task, outputs, split).get(objective.metric, math.nan)


def steps_of(epochs: float, n_rows: int, task: Task, config: TrainingConfig) -> int:
    """Return the optimizer steps of so many passes over n rows, at least one."""
    return max(1, math.ceil(epochs * n_rows / (config.batch_size or task.batch_size)))


def start_cohort(
    configs: Sequence[TrainingConfig],
    task: Task,
    objective: Curve,
    *,
    seed: int,
    total_steps: int,
) -> Cohort:
    """Begin to train configurations as an objective has it."""
    return start(
        configs,
        task,
        seed=seed,
        total_steps=total_steps,
        device=objective.device,
        precision=objective.precision,
        data_dir=objective.data_dir,
        trainer=objective.trainer,
    )


def _merged(task: Task, folder: Path | None) -> Splits:
    """Put the validation rows to the training rows; a few of them stand for validation still."""
    parts = task.load(folder)
    train = Split(
        torch.cat([parts.train.inputs, parts.valid.inputs]),
        torch.cat([parts.train.targets, parts.valid.targets]),
    )
    few = torch.arange(min(100, len(parts.valid)))
    return Splits(train, parts.valid.take(few), parts.source)


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}

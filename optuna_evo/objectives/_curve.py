"""The validation metric of one training, reported along the way."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
from pathlib import Path
import time
from typing import Any

import torch
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.curves import EarlyStopping
from optuna_evo.curves import ReduceOnPlateau
from optuna_evo.metrics import check_metric
from optuna_evo.metrics import LOSS
from optuna_evo.metrics import metric_names
from optuna_evo.objectives._final import loss_of
from optuna_evo.objectives._final import start_cohort
from optuna_evo.objectives._final import steps_of
from optuna_evo.objectives._final import value_of
from optuna_evo.objectives._identity import identity
from optuna_evo.objectives._loss_curve import loss_curve_record
from optuna_evo.objectives._loss_curve import points_for
from optuna_evo.objectives._repetition import seed_of
from optuna_evo.tasks import partition
from optuna_evo.tasks import scores
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import load_splits


__all__ = ["CurveObjective", "CurveRun"]

_TRAINING_SAMPLE = 1_000  # rows; that of an epoch costs less than a report does


@dataclass(frozen=True, kw_only=True)
class CurveObjective:
    """The metric at the end of one training, which may end early.

    Args:
        task: What is trained.
        seed: Seed of the training.
        epochs: Passes over the training rows, where a configuration does not say; None: `steps`
            counts.
        steps: Optimizer steps where there are no epochs.
        reports: Reports of a whole training, evenly spread.
        metric: Name of one of `optuna_evo.metrics`, or "loss", the mean of the task's loss; None:
            the task's own.
        early_stopping: When a training ends early; then the best report is the value, else the
            last one. None: never.
        reduce_on_plateau: When the learning rate is reduced; None: never.
        penalty: Value of a diverged trial.
        device: torch device.
        precision: "auto", "float32" or "bfloat16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer: "auto", "sequential" or "population" (see `trainers.start`).
    """

    task: Task
    seed: int
    epochs: float | None = None
    steps: int = 500
    reports: int = 10
    metric: str | None = None
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None
    penalty: float = -1.0
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    trainer: str = "auto"

    @property
    def n_reports(self) -> int:
        """Number of reports."""
        return self.reports

    @property
    def higher_is_better(self) -> bool:
        """The direction of what is reported."""
        if self.metric is None:
            return self.task.higher_is_better
        return check_metric(self.metric, self.task.kind, self.task.name, trains=True)

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int = 0) -> "CurveRun":
        """Begin to train the configurations; another `repetition` uses other seeds."""
        return CurveRun(configs, self, repetition)

    def value(self, reported: Sequence[float]) -> float:
        """Return the last value; with early stopping the best one."""
        if self.early_stopping is None:
            return reported[-1]
        return max(reported) if self.higher_is_better else min(reported)

    def is_enough(self, reported: Sequence[float]) -> bool:
        """Tell whether a training that reported this stops early."""
        return self.early_stopping is not None and self.early_stopping.is_over(
            reported, higher_is_better=self.higher_is_better
        )

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and report alike."""
        return identity(self)

    def total_steps(self, config: TrainingConfig) -> int:
        """Return the optimizer steps of a whole training."""
        epochs = config.epochs or self.epochs
        if epochs is None:
            return max(self.steps, self.reports)  # a report needs a step
        n_rows = len(self.splits().train)
        return max(steps_of(epochs, n_rows, self.task, config), self.reports)

    def splits(self) -> Splits:
        """Return the rows to train and to validate on, on the device."""
        return load_splits(self.task, self.data_dir, torch.device(self.device))


@dataclass
class _Member:
    """What is known of one training so far."""

    total: int
    batch_size: int
    values: list[float] = field(default_factory=list)
    outputs: Any = None  # on the validation rows, at the report that counts
    loss: float = math.nan  # there and then
    train_metrics: list[float] = field(default_factory=list)  # after each epoch
    seconds: float = 0.0
    lr_scale: float = 1.0
    alive: bool = True


class CurveRun:
    """Trainings of a batch of configurations, each over its own number of steps.

    A step of the run is one report: the same share of each training, whatever its batch size.
    Those of one length train side by side.
    """

    def __init__(
        self, configs: Sequence[TrainingConfig], objective: CurveObjective, repetition: int
    ) -> None:
        self.step = 0
        self._objective = objective
        seed = seed_of(objective.seed, repetition)
        self._members = [
            _Member(objective.total_steps(config), config.batch_size or objective.task.batch_size)
            for config in configs
        ]
        train = objective.splits().train
        self._n_rows = len(train)
        self._seen = train.take(partition(len(train), min(_TRAINING_SAMPLE, len(train)))[0])
        self._groups: list[tuple[Cohort, list[_Member]]] = []
        for total in sorted({member.total for member in self._members}):
            pairs = zip(configs, self._members, strict=True)
            group = [(config, member) for config, member in pairs if member.total == total]
            cohort = start_cohort(
                [c for c, _ in group], objective.task, objective, seed=seed, total_steps=total
            )
            self._groups.append((cohort, [member for _, member in group]))

    def advance(self) -> list[float]:
        """Train on to the next report and return the metric of each live member."""
        self.step += 1
        for cohort, members in self._groups:
            began = time.perf_counter()
            # shares of the total, rounded down: no step is lost, the last report is at the end
            cohort.train(members[0].total * self.step // self._objective.reports - cohort.step)
            self._measure(cohort, members)
            self._measure_training(cohort, members)
            for member in members:
                member.seconds += (time.perf_counter() - began) / len(members)
        return [member.values[-1] for member in self._members]

    def _measure(self, cohort: Cohort, members: Sequence[_Member]) -> None:
        o = self._objective
        valid = o.splits().valid
        all_outputs: Sequence[Any] = [None] * len(members)
        if metric_names(o.task.kind):
            all_outputs = cohort.outputs(valid)
            values = [value_of(o, outputs, valid) for outputs in all_outputs]
            losses = [loss_of(o.task, outputs, valid) for outputs in all_outputs]
        else:  # the outputs of a language model may be too many to keep
            measure = o.task.loss if o.metric == LOSS else o.task.metric
            values = list(cohort.evaluate(valid, measure=measure))
            is_loss = measure is o.task.loss
            losses = values if is_loss else [math.nan] * len(values)
        for member, value, outputs, loss in zip(members, values, all_outputs, losses, strict=True):
            member.values.append(value)
            if o.value(member.values) == value:
                member.outputs, member.loss = outputs, loss
        if o.reduce_on_plateau is not None:
            _reduce(cohort, members, o.reduce_on_plateau, o.higher_is_better)

    def _measure_training(self, cohort: Cohort, members: Sequence[_Member]) -> None:
        """Measure some training rows where an epoch has ended since the last report."""
        ended = [
            cohort.step * member.batch_size // self._n_rows > len(member.train_metrics)
            for member in members
        ]
        if not any(ended):
            return
        values = cohort.evaluate(self._seen)
        for member, has_ended, value in zip(members, ended, values, strict=True):
            while has_ended and len(member.train_metrics) < (
                cohort.step * member.batch_size // self._n_rows
            ):  # a report may end several epochs
                member.train_metrics.append(value)

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        for member, stays in zip(self._members, alive, strict=True):
            member.alive = stays
        for cohort, members in self._groups:
            cohort.drop([member.alive for member in members])
        groups = [(cohort, [m for m in members if m.alive]) for cohort, members in self._groups]
        self._groups = [(cohort, members) for cohort, members in groups if members]
        self._members = [member for member in self._members if member.alive]

    def records(self) -> list[Mapping[str, Any]]:
        """Return the metrics of each member, its training loss, seconds and steps."""
        found = {}
        for cohort, members in self._groups:
            each = zip(members, cohort.losses(), cohort.curves(points_for(1)), strict=True)
            for member, loss, curve in each:
                curves = loss_curve_record(cohort.step, {self._objective.task.name: [curve]})
                found[id(member)] = self._record(member, loss) | curves
        return [found[id(member)] for member in self._members]

    def _record(self, member: _Member, loss: float) -> dict[str, Any]:
        o = self._objective
        record: dict[str, Any] = {
            "optimizer_steps": member.total * self.step // o.reports,
            "share_trained": self.step / o.reports,
            "seconds": round(member.seconds, 3),
            "reports": len(member.values),
            **o.task.notes,
        }
        if math.isfinite(loss):
            record["train_loss"] = loss
        if math.isfinite(member.loss):
            record["valid_loss"] = member.loss
        if member.train_metrics:
            record["train_metrics"] = [round(v, 6) for v in member.train_metrics if v == v]
        if isinstance(member.outputs, Tensor):  # of others only the task knows which is which
            record |= scores(o.task, member.outputs, o.splits().valid)
        if o.reduce_on_plateau is not None:
            record["lr_scale"] = member.lr_scale
        return record


def _reduce(
    cohort: Cohort, members: Sequence[_Member], policy: ReduceOnPlateau, higher_is_better: bool
) -> None:
    scales = [policy.scale(member.values, higher_is_better=higher_is_better) for member in members]
    # a cohort multiplies the rate that it has: it gets what changed since the last report
    cohort.scale_lr([new / member.lr_scale for new, member in zip(scales, members, strict=True)])
    for member, scale in zip(members, scales, strict=True):
        member.lr_scale = scale

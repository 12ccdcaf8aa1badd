"""A segment of a longer training as what a trial trains."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import time
from typing import Any

from optuna_evo.config import TrainingConfig
from optuna_evo.objectives._loss_curve import loss_curve_record
from optuna_evo.objectives._loss_curve import points_for
from optuna_evo.objectives._repetition import seed_of
from optuna_evo.tasks import Task
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import Origin
from optuna_evo.trainers import start


__all__ = ["SegmentObjective", "SegmentRun", "train_segments"]


@dataclass(frozen=True, kw_only=True)
class SegmentObjective:
    """The task's metric at the end of some steps, which may go on from a checkpoint.

    It has no `fingerprint`: what a segment reports depends on where it goes on from, so equal
    configurations train again.

    Args:
        task: What is trained.
        seed: Seed of the training.
        steps: Optimizer steps of a segment.
        reports: Reports of a segment, evenly spread.
        penalty: Value of a diverged trial.
        device: torch device.
        precision: "auto", "float32", "bfloat16" or "float16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer: "auto", "sequential" or "population" (see `trainers.start`).
    """

    task: Task
    seed: int
    steps: int
    reports: int = 1
    penalty: float = 1e3
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    trainer: str = "auto"

    @property
    def n_reports(self) -> int:
        """Number of reports."""
        return self.reports

    def start(
        self,
        configs: Sequence[TrainingConfig],
        *,
        repetition: int = 0,
        origins: Sequence[Origin] | None = None,
    ) -> "SegmentRun":
        """Begin to train the configurations, each from its origin or from fresh weights."""
        return SegmentRun(configs, self, repetition, origins or [None] * len(configs))

    def value(self, reported: Sequence[float]) -> float:
        """Return the last value."""
        return reported[-1]

    def cohort(
        self,
        configs: Sequence[TrainingConfig],
        origins: Sequence[Origin] | None = None,
        *,
        repetition: int = 0,
    ) -> Cohort:
        """Begin to train configurations, without what a run records of them."""
        return start(
            configs,
            self.task,
            seed=seed_of(self.seed, repetition),
            total_steps=self.steps,
            loss_window=self.steps,  # records are means over the segment
            device=self.device,
            precision=self.precision,
            data_dir=self.data_dir,
            trainer=self.trainer,
            origins=origins,
            segment=True,
        )


@dataclass
class _Member:
    first_step: int
    value: float = math.nan
    seconds: float = 0.0


class SegmentRun:
    """Segments of a batch of trials; a step of the run is one report."""

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        objective: SegmentObjective,
        repetition: int,
        origins: Sequence[Origin],
    ) -> None:
        self.step = 0
        self._objective = objective
        self._cohort = objective.cohort(configs, origins, repetition=repetition)
        self._members = [_Member(origin.step if origin else 0) for origin in origins]

    def advance(self) -> list[float]:
        """Train on to the next report and return the metric of each live member."""
        self.step += 1
        until = self._objective.steps * self.step // self._objective.reports
        began = time.perf_counter()
        self._cohort.train(until - self._cohort.step)
        values = self._cohort.evaluate()
        seconds = (time.perf_counter() - began) / max(1, len(self._members))
        for member, value in zip(self._members, values, strict=True):
            member.value = value
            member.seconds += seconds
        return list(values)

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        self._cohort.drop(alive)
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return the steps, losses, gradient norm and seconds of each member's segment."""
        columns = (self._members, self._cohort.losses(), self._cohort.grad_norms())
        name, step = self._objective.task.name, self._cohort.step
        curves = self._cohort.curves(points_for(1))
        return [
            self._record(*each) | loss_curve_record(step, {name: [curve]})
            for each, curve in zip(zip(*columns, strict=True), curves, strict=True)
        ]

    def checkpoint(self, member: int) -> Checkpoint:
        """Return the state of the live member at this place."""
        return self._cohort.checkpoints()[member]

    def _record(self, member: _Member, loss: float, norm: float) -> dict[str, Any]:
        task = self._objective.task
        numbers = {"train_loss": loss, "grad_norm": norm}
        if task.kind == "language_model" and not task.higher_is_better:
            # the exponential of a diverged loss would be no float
            numbers["perplexity"] = math.exp(min(member.value, 100.0))
        return {
            "first_step": member.first_step,
            "optimizer_steps": self._cohort.step,
            "seconds": round(member.seconds, 3),
            **task.notes,
            **{name: round(x, 6) for name, x in numbers.items() if math.isfinite(x)},
        }


def train_segments(
    configs: Sequence[TrainingConfig], objective: SegmentObjective
) -> tuple[list[float], Checkpoint | None]:
    """Train fresh weights through segments with one configuration after another.

    With the configurations of a lineage and its seed this does what the lineage did; with another
    seed it says what the schedule is worth by itself.

    Args:
        configs: One for each segment, in order.
        objective: Task, seed, steps of a segment, device.

    Returns:
        The validation metric after each segment, NaN from a divergence on, and the state at the
        end; None without segments.
    """
    values: list[float] = []
    state: Checkpoint | None = None
    for config in configs:
        if values and math.isnan(values[-1]):
            values.append(math.nan)
            continue
        cohort = objective.cohort([config], [state])
        cohort.train(objective.steps)
        values += cohort.evaluate()
        (state,) = cohort.checkpoints()
    return values, state

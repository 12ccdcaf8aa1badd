"""Fitness of optimizers: short trainings on every task with every seed, one after another.

One step of a `FitnessRun` is one cell, a pair (task, seed), so pruners compare trials on the same
cells. Source of the formula: arXiv:2512.11853; unlike there, accuracy is measured on validation
data.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

from optuna_evo.config import TrainingConfig
from optuna_evo.objectives._identity import identity
from optuna_evo.objectives._loss_curve import loss_curve_record
from optuna_evo.objectives._loss_curve import points_for
from optuna_evo.objectives._repetition import seed_of
from optuna_evo.tasks import Task
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import start


__all__ = ["cell_fitness", "FitnessCurveRun", "FitnessObjective", "FitnessRun"]


@dataclass(frozen=True, kw_only=True)
class FitnessObjective:
    """The mean fitness over tasks and seeds.

    Args:
        tasks: What is trained.
        seeds: Seeds of each task.
        steps: Optimizer steps of one training.
        loss_weight: Weight of the training-loss bonus.
        loss_window: Steps that the training loss is averaged over.
        reports: Reports of a trial whose cells train side by side, the value at each being the
            mean over cells as they stand. None: the cells train one after another and each
            reports once.
        penalty: Value of a diverged trial.
        device: torch device.
        precision: "auto", "float32" or "bfloat16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer: "auto", "sequential" or "population" (see `trainers.start`).
    """

    tasks: Sequence[Task]
    seeds: Sequence[int]
    steps: int
    loss_weight: float = 0.05
    loss_window: int = 50
    reports: int | None = None
    penalty: float = -1.0
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    trainer: str = "auto"

    @property
    def n_reports(self) -> int:
        """Number of reports: `reports`, or that of cells."""
        if self.reports is None:
            return len(self.tasks) * len(self.seeds)
        return min(self.reports, self.steps)

    def start(
        self, configs: Sequence[TrainingConfig], *, repetition: int = 0
    ) -> "FitnessRun | FitnessCurveRun":
        """Begin to train the configurations; another `repetition` uses other seeds."""
        seeds = [seed_of(seed, repetition) for seed in self.seeds]
        cells = [(task, seed) for seed in seeds for task in self.tasks]
        if self.reports is None:
            return FitnessRun(configs, self, cells)
        return FitnessCurveRun(configs, self, cells)

    def value(self, reported: Sequence[float]) -> float:
        """Return the mean over cells."""
        if self.reports is None:
            return sum(reported) / len(reported)
        return reported[-1]

    def options(self) -> dict[str, Any]:
        """Return what each training is started with."""
        return {
            "total_steps": self.steps,
            "loss_window": self.loss_window,
            "device": self.device,
            "precision": self.precision,
            "data_dir": self.data_dir,
            "trainer": self.trainer,
        }

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and report alike."""
        return identity(self)


class FitnessRun:
    """A batch of configurations on its way through the cells, seed by seed, task by task."""

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        objective: FitnessObjective,
        cells: Sequence[tuple[Task, int]],
    ) -> None:
        self.step = 0
        self._objective = objective
        self._configs = list(configs)
        self._accuracies: list[dict[str, list[float]]] = [{} for _ in configs]
        self._losses: list[list[float]] = [[] for _ in configs]
        self._curves: list[dict[str, list[Sequence[float]]]] = [{} for _ in configs]
        self._cells = cells

    def advance(self) -> list[float]:
        """Train one more cell and return the fitness of each live member on it."""
        task, seed = self._cells[self.step]
        self.step += 1
        return self._train_cell(task, seed)

    def _train_cell(self, task: Task, seed: int) -> list[float]:
        o = self._objective
        cohort = start(self._configs, task, seed=seed, **o.options())
        cohort.train(o.steps)
        accuracies = cohort.evaluate()
        for kept, accuracy in zip(self._accuracies, accuracies, strict=True):
            kept.setdefault(task.name, []).append(accuracy)
        losses = cohort.losses()
        for known, loss in zip(self._losses, losses, strict=True):
            known.append(loss)
        curves = cohort.curves(points_for(len(self._cells)))
        for of_member, curve in zip(self._curves, curves, strict=True):
            of_member.setdefault(task.name, []).append(curve)
        pairs = zip(accuracies, losses, strict=True)
        return [cell_fitness(accuracy, loss, o.loss_weight) for accuracy, loss in pairs]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        self._configs = [c for c, stays in zip(self._configs, alive, strict=True) if stays]
        self._accuracies = [a for a, stays in zip(self._accuracies, alive, strict=True) if stays]
        self._losses = [known for known, stays in zip(self._losses, alive, strict=True) if stays]
        self._curves = [known for known, stays in zip(self._curves, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return each member's accuracies by task, each task's mean, the mean loss, its curves."""
        return [
            accuracy_record(accuracies)
            | loss_record(losses)
            | loss_curve_record(self._objective.steps, curves)
            for accuracies, losses, curves in zip(
                self._accuracies, self._losses, self._curves, strict=True
            )
        ]


class FitnessCurveRun:
    """A batch of configurations on all cells at once.

    A step of the run is one report: the same share of every training. The value is the mean
    fitness over cells, each as it stands. All models of all cells are in memory together.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        objective: FitnessObjective,
        cells: Sequence[tuple[Task, int]],
    ) -> None:
        self.step = 0
        self._objective = o = objective
        self._accuracies: list[dict[str, list[float]]] = [{} for _ in configs]
        self._losses: list[list[float]] = [[] for _ in configs]
        self._cohorts: list[tuple[Task, Cohort]] = [
            (task, start(configs, task, seed=seed, **o.options())) for task, seed in cells
        ]

    def advance(self) -> list[float]:
        """Train on to the next report and return the mean fitness of each live member."""
        self.step += 1
        o = self._objective
        self._accuracies = [{} for _ in self._accuracies]
        self._losses = [[] for _ in self._accuracies]
        totals = [0.0] * len(self._accuracies)
        for task, cohort in self._cohorts:
            cohort.train(o.steps * self.step // o.n_reports - cohort.step)
            accuracies = cohort.evaluate()
            for i, (accuracy, loss) in enumerate(zip(accuracies, cohort.losses(), strict=True)):
                self._accuracies[i].setdefault(task.name, []).append(accuracy)
                self._losses[i].append(loss)
                totals[i] += cell_fitness(accuracy, loss, o.loss_weight)
        return [total / len(self._cohorts) for total in totals]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        for _, cohort in self._cohorts:
            cohort.drop(alive)
        self._accuracies = [a for a, stays in zip(self._accuracies, alive, strict=True) if stays]
        self._losses = [known for known, stays in zip(self._losses, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return each member's accuracies by task, each task's mean, the mean loss, its curves."""
        curves: list[dict[str, list[Sequence[float]]]] = [{} for _ in self._accuracies]
        for task, cohort in self._cohorts:
            found = cohort.curves(points_for(len(self._cohorts)))
            for of_member, curve in zip(curves, found, strict=True):
                of_member.setdefault(task.name, []).append(curve)
        done = self._cohorts[0][1].step
        return [
            accuracy_record(accuracies) | loss_record(losses) | loss_curve_record(done, each)
            for accuracies, losses, each in zip(
                self._accuracies, self._losses, curves, strict=True
            )
        ]


def cell_fitness(accuracy: float, mean_loss: float, loss_weight: float) -> float:
    """Return accuracy + loss_weight * max(0, 1 - mean_loss); NaN if either number is."""
    if math.isnan(accuracy) or math.isnan(mean_loss):
        return math.nan
    return accuracy + loss_weight * max(0.0, 1.0 - mean_loss)


def accuracy_record(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the accuracies by task, and each task's mean, NaN left out."""
    finite = {
        task: [round(a, 6) for a in values if math.isfinite(a)]
        for task, values in accuracies.items()
    }
    means = {f"accuracy_{task}": sum(v) / len(v) for task, v in finite.items() if v}
    return {"accuracies": finite, **means}


def loss_record(losses: Sequence[float]) -> dict[str, float]:
    """Return the mean training loss over cells, NaN left out."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    return {"train_loss": sum(finite) / len(finite)} if finite else {}

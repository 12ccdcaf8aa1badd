"""The trainings of a judgement, as an objective that a search drives.

A loss is at most that of the network before its training: a training that diverged, or that ended
above where it began, counts as if it had not been. So a mean over trainings always exists, and one
that explodes does not decide it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import functools
import hashlib
import json
import math
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import TrainingConfig
from optuna_evo.evaluation._workload import Workload


if TYPE_CHECKING:
    from optuna_evo.tasks import Split

__all__ = ["Course", "measure", "Measured", "SeededConfig", "Trainings"]


@dataclass(frozen=True)
class SeededConfig:
    """A configuration, and the seeds that it is trained with.

    Args:
        training: What is trained.
        seeds: One training each.
    """

    training: TrainingConfig
    seeds: tuple[int, ...]

    def fingerprint(self) -> str:
        """Return the same text for what trains alike."""
        return f"{self.training.fingerprint()}-seeds-{'-'.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class Course:
    """Where and how often trainings are measured.

    Args:
        tests: Whether the test rows are measured at the end; no tuning does.
        points: How often the validation loss is measured on the way, at even distances; >= 1.
    """

    tests: bool = False
    points: int = 1


@dataclass(frozen=True)
class Measured:
    """What one training came to.

    Args:
        loss: On the validation rows.
        metric: There too.
        test_loss: NaN where the test rows were not touched.
        test_metric: As well.
        untrained: The validation loss before training.
        curve: The validation loss along the way, `Course.points` of them.
        diverged: Whether it diverged.
    """

    loss: float
    metric: float
    test_loss: float
    test_metric: float
    untrained: float
    curve: tuple[float, ...]
    diverged: bool


def measure(
    configs: Sequence[TrainingConfig],
    workload: Workload,
    seed: int,
    course: Course,
    *,
    test: "Split | None" = None,
    **options: Any,
) -> list[Measured]:
    """Train configurations with one seed, and measure each.

    Args:
        configs: What is trained, in a stack where that is faster.
        workload: What on.
        seed: Of weights and rows.
        course: What is measured.
        test: The test rows; None: they are not measured.
        options: Of `trainers.start`.
    """
    from optuna_evo import trainers

    task = workload.task
    cohort = trainers.start(configs, task, seed=seed, total_steps=workload.steps, **options)
    before = cohort.evaluate(measure=task.loss)
    curves: list[list[float]] = [[] for _ in configs]
    for point in range(1, course.points + 1):
        cohort.train(workload.steps * point // course.points - cohort.step)
        for curve, loss, most in zip(
            curves, cohort.evaluate(measure=task.loss), before, strict=True
        ):
            curve.append(_at_most(loss, most))
    metrics = list(cohort.evaluate())
    nothing = [math.nan] * len(metrics)
    losses, scores = nothing, nothing
    if test is not None:
        # what a network without training has, for those that diverged
        fresh = trainers.start(configs[:1], task, seed=seed, total_steps=1, **options)
        (most,) = fresh.evaluate(test, measure=task.loss)
        (least,) = fresh.evaluate(test)
        losses = [_at_most(loss, most) for loss in cohort.evaluate(test, measure=task.loss)]
        scores = [score if math.isfinite(score) else least for score in cohort.evaluate(test)]
    return [
        Measured(
            loss=curve[-1],
            metric=metric,
            test_loss=test_loss,
            test_metric=test_metric,
            untrained=most,
            curve=tuple(curve),
            diverged=not math.isfinite(metric),
        )
        for curve, metric, test_loss, test_metric, most in zip(
            curves, metrics, losses, scores, before, strict=True
        )
    ]


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """The mean loss of a configuration over its seeds: on validation rows, or on test rows.

    Args:
        workload: What is trained on.
        course: What is measured.
        device: torch device.
        precision: "auto", "float32" or "bfloat16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer: "auto", "sequential" or "population" (see `trainers.start`).
    """

    workload: Workload
    course: Course
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    trainer: str = "auto"

    @property
    def n_reports(self) -> int:
        """One: when all is done."""
        return 1

    @functools.cached_property
    def penalty(self) -> float:
        """Value of a trial that does not fit into memory: the loss without a training."""
        from optuna_evo import trainers

        config = self.workload.config(NamedOptimizer.of("SGD", lr=0.0))
        cohort = trainers.start(
            [config], self.workload.task, seed=0, total_steps=1, **self.options()
        )
        loss = cohort.evaluate(measure=self.workload.task.loss)[0]
        return loss if math.isfinite(loss) else 1e6

    def options(self) -> dict[str, Any]:
        """Return what each training is started with."""
        return {
            "device": self.device,
            "precision": self.precision,
            "data_dir": self.data_dir,
            "trainer": self.trainer,
        }

    def start(self, configs: Sequence[SeededConfig], *, repetition: int = 0) -> "TrainingsRun":
        """Begin the trainings."""
        return TrainingsRun(configs, self)

    def value(self, reported: Sequence[float]) -> float:
        """Return the mean loss."""
        return reported[-1]

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and measure alike."""
        import torch

        from optuna_evo.tasks import data_folder
        from optuna_evo.trainers import pick_precision

        work = self.workload
        whole = [
            work.name,
            work.task.name,
            work.steps,
            work.batch_size,
            dict(work.model),
            self.course.tests,
            self.course.points,
            pick_precision(self.precision, work.task, torch.device(self.device)),
            str(data_folder(self.data_dir)),
        ]
        text = json.dumps(whole, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TrainingsRun:
    """A batch of configurations; those of one seed train together."""

    def __init__(self, configs: Sequence[SeededConfig], objective: Trainings) -> None:
        self._objective = objective
        self._configs = list(configs)
        self._found: list[list[Measured]] = [[] for _ in configs]

    def advance(self) -> list[float]:
        """Do all trainings and return the mean loss of each configuration."""
        o = self._objective
        test = o.workload.task.load_test(o.data_dir) if o.course.tests else None
        for seed in sorted({seed for config in self._configs for seed in config.seeds}):
            numbers = [n for n, config in enumerate(self._configs) if seed in config.seeds]
            configs = [self._configs[n].training for n in numbers]
            found = measure(configs, o.workload, seed, o.course, test=test, **o.options())
            for number, each in zip(numbers, found, strict=True):
                self._found[number].append(each)
        return [
            _mean([m.test_loss if o.course.tests else m.loss for m in own]) for own in self._found
        ]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        pairs = zip(self._configs, self._found, alive, strict=True)
        kept = [(config, found) for config, found, stays in pairs if stays]
        self._configs, self._found = [c for c, _ in kept], [f for _, f in kept]

    def records(self) -> list[Mapping[str, Any]]:
        """Return what each configuration came to: means over its seeds, and the curve."""
        return [self._record(own) for own in self._found]

    def _record(self, own: Sequence[Measured]) -> dict[str, Any]:
        record: dict[str, Any] = {
            "valid_loss": _mean([m.loss for m in own]),
            "untrained": _mean([m.untrained for m in own]),
            "optimizer_steps": self._objective.workload.steps * len(own),
        }
        finite = [m.metric for m in own if not m.diverged]
        record |= {"valid_metric": _mean(finite)} if finite else {}
        if len(finite) < len(own):
            record["diverged_share"] = 1 - len(finite) / len(own)
        if self._objective.course.tests:
            record["test_loss"] = _mean([m.test_loss for m in own])
            record["test_metric"] = _mean([m.test_metric for m in own])
        if self._objective.course.points > 1:
            record["curve"] = [
                round(_mean([m.curve[i] for m in own]), 6) for i in range(len(own[0].curve))
            ]
        return record


def _at_most(loss: float, most: float) -> float:
    return min(loss, most) if math.isfinite(loss) else most


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""What the kinds that train tasks have in common."""

from collections.abc import Sequence
import inspect
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import EstimatorConfig
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.metrics import check_metric
from optuna_evo.objectives._kind import check_direction
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.rules import Genome
from optuna_evo.spec import shown
from optuna_evo.spec import StudySpec
from optuna_evo.spec import TrainerSpec


if TYPE_CHECKING:
    from optuna_evo.objectives._curve import CurveObjective
    from optuna_evo.tasks import Task

__all__ = ["build_tasks", "check_length", "check_task_direction", "pick_device", "TrainingKind"]


# Beyond these a batch, or the number of steps, is no number that a machine can hold.
_MOST_ROWS, _MOST_EPOCHS = 100_000_000, 100_000


class TrainingKind(ObjectiveKind):
    """A kind whose trials train networks on tasks."""

    takes = frozenset(
        {"trainer.steps", "trainer.precision", "trainer.kind", "objective.divergence_penalty"}
    )
    trains_segments = False
    """Whether it trains with what a `SegmentConfig` adds."""

    def check(self, spec: StudySpec) -> None:
        """Refuse a pruner that nobody would ask."""
        super().check(spec)
        if self.n_reports_of(spec) == 1 and spec.pruner.name != "none":
            raise SpecError(
                f"The pruner {spec.pruner.name!r} is asked between reports, and these trials "
                "report once: leave out `pruner`, or have more reports (objective.reports)."
            )

    def n_reports_of(self, spec: StudySpec) -> int:
        """Return how often a trial reports."""
        return spec.objective.reports

    def check_config(self, spec: StudySpec, config: Any) -> None:
        """Refuse estimators, and what only other kinds train with."""
        if isinstance(config, EstimatorConfig):
            raise misfit(spec)
        if not isinstance(config, TrainingConfig):
            raise SpecError(
                f"The space {spec.space.name!r} must return a TrainingConfig, got {shown(config)}."
            )
        if isinstance(config, SegmentConfig) and not self.trains_segments:
            raise SpecError(
                f'The space {spec.space.name!r} sets what only objective.name = "segment" trains '
                f"with, got {spec.objective.name!r}."
            )

    def check_use(self, spec: StudySpec, config: Any) -> None:
        """Refuse what no model takes, what no machine holds, and stacks of what is no stack."""
        _check_numbers(spec, config)
        _check_stack(spec, config)
        takes = self.model_arguments(spec)
        if takes is not None and (unknown := sorted(set(config.model) - takes)):
            raise SpecError(
                f"The space {spec.space.name!r} sets {unknown[0]!r}, which the model of "
                f"{', '.join(spec.tasks)} does not take: leave it out by "
                f"space.{unknown[0]} = false."
            )

    def model_arguments(self, spec: StudySpec) -> frozenset[str] | None:
        """Return the arguments that the builders of all tasks take; None: any."""
        found: frozenset[str] | None = None
        for task in build_tasks(spec):
            parameters = inspect.signature(task.build_model).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                own = frozenset(p.name for p in parameters)
                found = own if found is None else found & own
        return found

    def describe(self, objective: Any) -> dict[str, float]:
        """Return the means of the tasks' meta-features."""
        from optuna_evo.objectives._describe import describe

        tasks = self.tasks_of(objective)
        return describe(tasks, device=objective.device, data_dir=objective.data_dir)

    def tasks_of(self, objective: Any) -> "Sequence[Task]":
        """Return what an objective of this kind trains."""
        return [objective.task]

    def curve(self, spec: StudySpec, device: str, data_dir: Path | None) -> "CurveObjective":
        """Return one training on one task that reports its validation metric along the way."""
        from optuna_evo.objectives._curve import CurveObjective

        return CurveObjective(
            task=build_tasks(spec)[0],
            seed=spec.seed,
            epochs=spec.trainer.epochs,
            reports=spec.objective.reports,
            metric=spec.objective.metric,
            early_stopping=spec.trainer.early_stopping,
            reduce_on_plateau=spec.trainer.reduce_on_plateau,
            trainer=spec.trainer.kind,
            **self.options(spec, device, data_dir),
        )

    def options(self, spec: StudySpec, device: str, data_dir: Path | None) -> dict[str, Any]:
        """Return what all these objectives are built with."""
        return {
            "steps": spec.trainer.steps,
            "penalty": spec.objective.divergence_penalty,
            "device": pick_device(device),
            "precision": spec.trainer.precision,
            "data_dir": data_dir,
        }


def _check_numbers(spec: StudySpec, config: TrainingConfig) -> None:
    if config.batch_size is not None and not 1 <= config.batch_size <= _MOST_ROWS:
        raise SpecError(
            f"The space {spec.space.name!r} suggests batch sizes such as {config.batch_size}; "
            f"they must be from 1 to {_MOST_ROWS:,}."
        )
    if config.epochs is not None and not 0 < config.epochs <= _MOST_EPOCHS:
        raise SpecError(
            f"The space {spec.space.name!r} suggests epochs such as {config.epochs}; they must be "
            f"above 0 and at most {_MOST_EPOCHS:,}."
        )


def _check_stack(spec: StudySpec, config: TrainingConfig) -> None:
    """Refuse stacks of what cannot be stacked; "auto" finds out by itself."""
    if spec.trainer.kind != "population":
        return
    if not isinstance(config.optimizer, Genome):
        raise SpecError(
            '`trainer.kind` "population" stacks genomes; the space '
            f'{spec.space.name!r} trains with other optimizers: use "auto" or "sequential".'
        )
    if spec.trainer.precision == "float16":
        raise SpecError(
            '`trainer.kind` "population" does not go with `trainer.precision` "float16", which '
            'scales the gradients of each member: use "auto" or "sequential".'
        )


def misfit(spec: StudySpec) -> SpecError:
    """Return the error of a space whose configurations the objective cannot use."""
    return SpecError(
        f"The space {spec.space.name!r} does not go with objective.name = "
        f'"{spec.objective.name}": estimators go with "table", and nothing else does.'
    )


def build_tasks(spec: StudySpec) -> "list[Task]":
    """Look up the tasks that a study names.

    Raises:
        SpecError: If there is no such task, or it does not take the options.
    """
    from optuna_evo import tasks

    try:
        return [tasks.get(name, **spec.task) for name in spec.tasks]
    except ValueError as error:
        raise SpecError(str(error)) from error


def check_length(spec: StudySpec) -> None:
    """Raise if a training has a length in steps and another one in epochs.

    The space "genome" counts its warm-up in `trainer.steps`, whatever a training takes.
    """
    is_said = spec.trainer.steps != TrainerSpec().steps and spec.space.name != "genome"
    if spec.trainer.epochs is not None and is_said and ":" not in spec.space.name:
        raise SpecError(
            f"`trainer.epochs` ({spec.trainer.epochs}) takes the place of `trainer.steps` "
            f"({spec.trainer.steps}): leave one out."
        )


def check_task_direction(spec: StudySpec) -> None:
    """Check that what is reported is optimized in its direction, with a sensible penalty."""
    (task,) = build_tasks(spec)
    metric = spec.objective.metric
    try:
        higher = (
            check_metric(metric, task.kind, task.name, trains=True)
            if metric
            else task.higher_is_better
        )
    except UsageError as error:
        raise SpecError(str(error)) from error
    what = repr(metric) if metric else f"of the task {task.name!r}"
    check_direction(spec, what, higher)
    penalty = spec.objective.divergence_penalty
    if not higher and penalty <= 0:
        raise SpecError(
            f"`objective.divergence_penalty`, the value of a diverged trial, is {penalty}; where "
            f"the metric {what} is minimised, set it to a value worse than any you expect."
        )


def pick_device(name: str) -> str:
    """Return the torch device for "auto" or a device's name.

    Raises:
        UsageError: If there is no such device here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"Device {name!r} cannot be used here: {reason}") from error
    return name

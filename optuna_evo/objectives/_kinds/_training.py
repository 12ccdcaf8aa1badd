"""What the kinds that train tasks have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import EstimatorConfig
from optuna_evo.config import SegmentConfig
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.metrics import check_metric
from optuna_evo.objectives._kind import check_direction
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.tasks import Task

__all__ = ["build_tasks", "check_task_direction", "pick_device", "TrainingKind"]


class TrainingKind(ObjectiveKind):
    """A kind whose trials train networks on tasks."""

    trains_segments = False
    """Whether it trains with what a `SegmentConfig` adds."""

    def check_config(self, spec: StudySpec, config: Any) -> None:
        """Refuse estimators, and what only other kinds train with."""
        if isinstance(config, EstimatorConfig):
            raise misfit(spec)
        if isinstance(config, SegmentConfig) and not self.trains_segments:
            raise SpecError(
                f'The space {spec.space.name!r} sets what only objective.name = "segment" trains '
                f"with, got {spec.objective.name!r}."
            )

    def describe(self, objective: Any) -> dict[str, float]:
        """Return the means of the tasks' meta-features."""
        from optuna_evo.objectives._describe import describe

        tasks = self.tasks_of(objective)
        return describe(tasks, device=objective.device, data_dir=objective.data_dir)

    def tasks_of(self, objective: Any) -> "Sequence[Task]":
        """Return what an objective of this kind trains."""
        return [objective.task]

    def options(self, spec: StudySpec, device: str, data_dir: Path | None) -> dict[str, Any]:
        """Return what all these objectives are built with."""
        return {
            "steps": spec.trainer.steps,
            "penalty": spec.objective.divergence_penalty,
            "device": pick_device(device),
            "precision": spec.trainer.precision,
            "data_dir": data_dir,
        }


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


def check_task_direction(spec: StudySpec) -> None:
    """Check that what is reported is optimized in its direction, with a sensible penalty."""
    (task,) = build_tasks(spec)
    metric = spec.objective.metric
    try:
        higher = check_metric(metric, task.kind, task.name) if metric else task.higher_is_better
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

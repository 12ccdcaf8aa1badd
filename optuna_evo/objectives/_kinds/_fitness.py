"""Objective "fitness": update rules valued by short trainings on all tasks with several seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.objectives._kinds._training import build_tasks
from optuna_evo.objectives._kinds._training import TrainingKind
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._fitness import FitnessObjective
    from optuna_evo.tasks import Task


class FitnessKind(TrainingKind):
    """The mean fitness over tasks and seeds; ends with the comparison of optimizers."""

    name = "fitness"
    n_tasks = (1, None)
    compares_optimizers = True

    def check_data(self, spec: StudySpec) -> None:
        """Look up the tasks."""
        build_tasks(spec)

    def tasks_of(self, objective: Any) -> "Sequence[Task]":
        """Return all its tasks."""
        return objective.tasks  # type: ignore[no-any-return]

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> "FitnessObjective":
        """Build the objective."""
        from optuna_evo.objectives._fitness import FitnessObjective

        return FitnessObjective(
            tasks=build_tasks(spec),
            seeds=range(spec.seed, spec.seed + spec.objective.seeds),
            loss_weight=spec.objective.loss_weight,
            loss_window=spec.objective.loss_window,
            reports=spec.objective.reports if spec.objective.side_by_side else None,
            trainer=spec.trainer.kind,
            **self.options(spec, device, data_dir),
        )

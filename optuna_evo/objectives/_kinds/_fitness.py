"""Objective "fitness": update rules valued by short trainings on all tasks with several seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.errors import SpecError
from optuna_evo.objectives._kinds._training import build_tasks
from optuna_evo.objectives._kinds._training import TrainingKind
from optuna_evo.spec import JudgeSpec
from optuna_evo.spec import ObjectiveSpec
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._fitness import FitnessObjective
    from optuna_evo.tasks import Task


class FitnessKind(TrainingKind):
    """The mean fitness over tasks and seeds; ends with the comparison of optimizers."""

    name = "fitness"
    n_tasks = (1, None)
    takes = TrainingKind.takes | {
        "objective.seeds",
        "objective.loss_weight",
        "objective.loss_window",
        "objective.side_by_side",
        "objective.reports",
        "judge.seeds",
        "judge.tuning_trials",
    }
    compares_optimizers = True

    def check(self, spec: StudySpec) -> None:
        """Refuse the search for the worst rule, and what a comparison or reports lack."""
        super().check(spec)
        if spec.direction != "maximize":
            raise SpecError(
                'The objective "fitness" is to be maximised: leave out `direction`. To minimise '
                'the metric of one task, use objective.name = "accuracy".'
            )
        o, default = spec.objective, ObjectiveSpec()
        if not o.side_by_side and o.reports != default.reports:
            raise SpecError(
                '`objective.reports` of "fitness" goes with objective.side_by_side = true; else '
                "each task and seed reports once."
            )
        if not o.loss_weight and o.loss_window != default.loss_window:
            raise SpecError(
                "`objective.loss_window` goes with an `objective.loss_weight` above 0."
            )
        if not spec.judge.seeds and spec.judge.tuning_trials != JudgeSpec().tuning_trials:
            raise SpecError("`judge.tuning_trials` goes with `judge.seeds` of at least 1.")

    def n_reports_of(self, spec: StudySpec) -> int:
        """Return the number of cells, or of reports where they train side by side."""
        o = spec.objective
        return o.reports if o.side_by_side else len(spec.tasks) * o.seeds

    def check_data(self, spec: StudySpec) -> None:
        """Look up the tasks."""
        for task in build_tasks(spec):
            if not task.higher_is_better:
                raise SpecError(
                    f'The objective "fitness" adds up metrics of which higher is better, which '
                    f'that of {task.name!r} is not: use objective.name = "accuracy".'
                )

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

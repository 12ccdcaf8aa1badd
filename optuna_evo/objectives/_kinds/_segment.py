"""Objective "segment": segments of longer trainings that go on from one another's weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from optuna_evo.objectives._kinds._training import build_tasks
from optuna_evo.objectives._kinds._training import check_task_direction
from optuna_evo.objectives._kinds._training import TrainingKind
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._segment import SegmentObjective


class SegmentKind(TrainingKind):
    """The metric at the end of a segment, whose checkpoint others go on from."""

    name = "segment"
    takes = TrainingKind.takes | {
        "objective.reports",
        "lineage.inherit",
        "lineage.checkpoints",
        "float16",
    }
    has_lineages = True
    trains_segments = True

    def check_data(self, spec: StudySpec) -> None:
        """Check the direction of the metric."""
        check_task_direction(spec)

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> "SegmentObjective":
        """Build the objective."""
        from optuna_evo.objectives._segment import SegmentObjective

        return SegmentObjective(
            task=build_tasks(spec)[0],
            seed=spec.seed,
            reports=spec.objective.reports,
            trainer=spec.trainer.kind,
            **self.options(spec, device, data_dir),
        )

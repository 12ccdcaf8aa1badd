"""Objective "accuracy": the validation metric of one training, reported along the way."""

from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import FinalResult
from optuna_evo.objectives._kinds._training import check_length
from optuna_evo.objectives._kinds._training import check_task_direction
from optuna_evo.objectives._kinds._training import TrainingKind
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._curve import CurveObjective


class AccuracyKind(TrainingKind):
    """One training on one task; may end with a final training on all rows but the test's."""

    name = "accuracy"
    takes = TrainingKind.takes | {
        "trainer.epochs",
        "trainer.early_stopping",
        "trainer.reduce_on_plateau",
        "objective.reports",
        "objective.metric",
        "final.epochs",
        "final.cosine",
    }

    def check(self, spec: StudySpec) -> None:
        """Refuse two lengths of one training, and options of a final training without one."""
        super().check(spec)
        check_length(spec)
        if not spec.final.cosine and not spec.final.epochs:
            raise SpecError("`final.cosine` goes with `final.epochs`: set that too.")

    def check_data(self, spec: StudySpec) -> None:
        """Check the direction of the metric."""
        check_task_direction(spec)

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> "CurveObjective":
        """Build the objective."""
        return self.curve(spec, device, data_dir)

    def has_final(self, spec: StudySpec) -> bool:
        """Tell whether the spec asks for one."""
        return spec.final.epochs > 0

    def final(self, spec: StudySpec, objective: Any, config: Any) -> FinalResult:
        """Train on all rows but the test's."""
        from optuna_evo.objectives._final import train_finally

        trained = train_finally(
            config,
            objective,
            epochs=spec.final.epochs,
            cosine=spec.final.cosine,
            seed=spec.seed,
        )
        return FinalResult(*trained)

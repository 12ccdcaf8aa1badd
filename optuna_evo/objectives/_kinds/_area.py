"""Objective "area": how good a training is all along the way, not only at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.objectives._kinds._training import check_length
from optuna_evo.objectives._kinds._training import check_task_direction
from optuna_evo.objectives._kinds._training import TrainingKind
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._curve import CurveObjective
    from optuna_evo.objectives._curve import CurveRun


@dataclass(frozen=True)
class AreaObjective:
    """The mean of the validation metric over the reports: the area under its curve.

    An optimizer that is good early wins against one that catches up at the last step, so the
    choice hangs less on where the training happens to end.

    Args:
        curve: What is trained and how often it reports.

    Example:
        >>> AreaObjective(curve).value([0.5, 0.8, 0.8])
        0.7
    """

    curve: "CurveObjective"

    @property
    def n_reports(self) -> int:
        """Number of reports."""
        return self.curve.n_reports

    @property
    def penalty(self) -> float:
        """Value of a diverged trial."""
        return self.curve.penalty

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int = 0) -> "CurveRun":
        """Begin to train the configurations; another `repetition` uses other seeds."""
        return self.curve.start(configs, repetition=repetition)

    def value(self, reported: Sequence[float]) -> float:
        """Return the mean of the reports."""
        return sum(reported) / len(reported)

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and value alike."""
        return f"area-{self.curve.fingerprint()}"


class AreaKind(TrainingKind):
    """One training on one task, valued by its whole curve."""

    name = "area"
    takes = TrainingKind.takes | {
        "trainer.epochs",
        "trainer.reduce_on_plateau",
        "objective.reports",
        "objective.metric",
    }

    def check(self, spec: StudySpec) -> None:
        """Refuse two lengths of one training."""
        super().check(spec)
        check_length(spec)

    def check_data(self, spec: StudySpec) -> None:
        """Check the direction of the metric."""
        check_task_direction(spec)

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> AreaObjective:
        """Build the objective."""
        return AreaObjective(self.curve(spec, device, data_dir))

    def describe(self, objective: Any) -> dict[str, float]:
        """Return the meta-features of the task."""
        return super().describe(objective.curve)

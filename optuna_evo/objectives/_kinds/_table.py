"""Objective "table": estimators of scikit-learn, cross-validated on a table."""

import math
from pathlib import Path
from typing import Any
from typing import Final
from typing import TYPE_CHECKING

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import check_direction
from optuna_evo.objectives._kind import FinalResult
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.objectives._kinds._training import misfit
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._table import EstimatorObjective


# scikit-learn takes seeds of 32 bits, and repetitions add some thousands.
_LARGEST_SEED: Final = 2**32 - 10_000_000
_OPTIONS: Final = ("target", "kind", "drop", "keep")


class TableKind(ObjectiveKind):
    """The mean of a metric over folds; ends with a fit to all rows but the test's."""

    name = "table"
    takes = frozenset({"objective.metric", "objective.reports"})

    def check_config(self, spec: StudySpec, config: Any) -> None:
        """Refuse all but estimators."""
        if not isinstance(config, EstimatorConfig):
            raise misfit(spec)

    def check_data(self, spec: StudySpec) -> None:
        """Load the table and check the direction of the metric."""
        objective = self.build(spec, device="cpu", data_dir=None)
        check_direction(spec, repr(objective.metric_name), objective.higher_is_better)

    def build(
        self, spec: StudySpec, *, device: str, data_dir: Path | None
    ) -> "EstimatorObjective":
        """Build the objective."""
        from optuna_evo.estimators import load_table
        from optuna_evo.objectives._table import EstimatorObjective

        if unknown := [key for key in spec.task if key not in _OPTIONS]:
            raise SpecError(
                f"Unknown option {unknown[0]!r}: a table takes: {', '.join(_OPTIONS)}."
            )
        try:
            table = load_table(spec.tasks[0], **spec.task, data_dir=data_dir)
            return EstimatorObjective(
                table=table,
                metric=spec.objective.metric,
                folds=spec.objective.reports,
                seed=spec.seed % _LARGEST_SEED,
            )
        except ValueError as error:
            raise SpecError(str(error)) from error

    def describe(self, objective: Any) -> dict[str, float]:
        """Return the meta-features of the table."""
        from optuna_evo.objectives._describe_table import describe_table

        return describe_table(objective.table)

    def has_final(self, spec: StudySpec) -> bool:
        """Tell that there is always one: it costs one fit."""
        return True

    def final(self, spec: StudySpec, objective: Any, config: Any) -> FinalResult:
        """Fit to all rows but the test's; all metrics are measured."""
        metrics = objective.test(config)
        return FinalResult(metrics.get(objective.metric_name, math.nan), metrics)

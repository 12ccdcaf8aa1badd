"""Results from elsewhere: a study that is shown and learned from, and cannot be run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.names import quoted
from optuna_evo.objectives._function import OpenTrial
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.spec import StudySpec


class ImportedKind(ObjectiveKind):
    """Runs that were never Optuna's; all that is known of what was trained are parameters."""

    name = "imported"
    n_tasks = (0, 0)

    def check(self, spec: StudySpec) -> None:
        """Refuse a spec that a user wrote: there would be nothing in its study."""
        raise SpecError(
            'objective.name = "imported" is that of studies made by `optuna_evo study import`.'
        )

    def own_space(self, spec: StudySpec) -> Callable[[Any], Any]:
        """Return what shows a trial: its parameters."""
        return OpenTrial

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> Any:
        """Say that there is nothing to run."""
        raise UsageError(
            f"Study {spec.name!r} holds results from elsewhere, which cannot be gone on with: "
            f"start a new one from them by --warm-start {quoted(spec.name)}."
        )

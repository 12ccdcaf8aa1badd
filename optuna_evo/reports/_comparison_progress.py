"""A live progress bar for a comparison of samplers; silent where nobody watches."""

from optuna.trial import FrozenTrial
from rich.console import Console

from optuna_evo.reports._trial_bar import TrialBar
from optuna_evo.spec import StudySpec


__all__ = ["ComparisonProgress"]


class ComparisonProgress(TrialBar):
    """Draw which study runs, the trials of all studies and the time to go.

    Args:
        n_trials: Trials of all studies.
        n_done: Those that are finished already.
        console: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, *, n_trials: int, n_done: int, console: Console) -> None:
        super().__init__(console)
        self._task = self._progress.add_task("starting", total=n_trials, completed=n_done)

    def study(self, spec: StudySpec) -> "ComparisonProgress":
        """Say which study runs now; the progress listens to it."""
        self._progress.update(self._task, description=spec.name)
        return self

    def started(self, trial_number: int) -> None:
        """Do nothing: a comparison is counted in trials."""

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Do nothing: a comparison is counted in trials."""

    def finished(self, trial: FrozenTrial) -> None:
        """Count one more trial."""
        self._progress.advance(self._task)

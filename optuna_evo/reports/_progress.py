"""Live progress bars for a search and for a comparison; no output without a terminal."""

from types import TracebackType
from typing import Self

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import ProgressColumn
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn

from optuna_evo.attributes import REUSED_FROM
from optuna_evo.names import printable
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._summary import generation_of
from optuna_evo.samplers import is_feasible
from optuna_evo.search import FINISHED
from optuna_evo.spec import StudySpec


__all__ = ["ComparisonProgress", "SearchProgress"]


class _TrialBar:
    """A bar over trials: what runs, how many are done, the time taken and the time left.

    It is drawn while its `with` block runs.

    Args:
        console: Where to draw; nothing is drawn if it is no terminal.
        extra: Columns between the count and the times.
    """

    def __init__(self, console: Console, *extra: ProgressColumn) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            *extra,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,  # in a log file every refresh would be a line
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


class SearchProgress(_TrialBar):
    """Listen to a search and draw generation, best value, trials and the time left.

    Args:
        study: The study; its finished trials count as done.
        n_trials: Trials after which the study ends.
        console: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, study: optuna.Study, *, n_trials: int, console: Console) -> None:
        best = best_trials(study, 1)
        self._best = best[0].value if best else None
        self._maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        self._done = len(study.get_trials(deepcopy=False, states=FINISHED))
        self._reused = 0
        self._where = ""  # the last known generation: a running trial may not have one yet
        super().__init__(console, TextColumn("best {task.fields[best]}"))
        self._task = self._progress.add_task(
            "starting", total=n_trials, completed=self._done, best=self._shown_best()
        )

    def started(self, trial_number: int) -> None:
        """Show which trial runs."""
        self._progress.update(self._task, description=f"{self._where}trial {trial_number}")

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Show how far the running trial is."""
        share = f", report {report}/{n_reports}" if n_reports > 1 else ""
        self._progress.update(self._task, description=f"{self._where}trial {trial_number}{share}")

    def finished(self, trial: FrozenTrial) -> None:
        """Show one more trial, its generation and the best value so far."""
        generation = generation_of(trial)
        self._where = f"generation {generation}, " if generation is not None else ""
        self._done += 1
        self._reused += REUSED_FROM.is_in(trial.user_attrs)
        is_result = trial.state == TrialState.COMPLETE and is_feasible(trial)
        if is_result and trial.value is not None:
            pick = max if self._maximize else min
            self._best = trial.value if self._best is None else pick(self._best, trial.value)
        self._progress.update(self._task, completed=self._done, best=self._shown_best())

    def _shown_best(self) -> str:
        reused = f", {self._reused} reused" if self._reused else ""
        return ("–" if self._best is None else f"{self._best:.4f}") + reused


class ComparisonProgress(_TrialBar):
    """Draw which study runs, the trials of all studies and the time left.

    Args:
        n_trials: Trials of all studies.
        n_done: Those that are finished already.
        console: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, *, n_trials: int, n_done: int, console: Console) -> None:
        super().__init__(console)
        self._task = self._progress.add_task("starting", total=n_trials, completed=n_done)

    def study(self, spec: StudySpec) -> "ComparisonProgress":
        """Show which study runs now; return the listener to give to it."""
        self._progress.update(self._task, description=printable(spec.name))
        return self

    def started(self, trial_number: int) -> None:
        """Do nothing: a comparison is counted in trials."""

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Do nothing: a comparison is counted in trials."""

    def finished(self, trial: FrozenTrial) -> None:
        """Count one more trial."""
        self._progress.advance(self._task)

"""Live progress of a search and of a comparison: bars in a terminal, lines elsewhere."""

import math
import time

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import TextColumn

from optuna_evo.attributes import REUSED_FROM
from optuna_evo.names import printable
from optuna_evo.reports._bar import Bar
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._summary import generation_of
from optuna_evo.samplers import is_feasible
from optuna_evo.search import FINISHED
from optuna_evo.spec import StudySpec


__all__ = ["ComparisonProgress", "JudgeProgress", "SearchProgress"]

_SECONDS_BETWEEN_LINES = 10.0


class SearchProgress(Bar):
    """Listen to a search and draw generation, best value, trials and the time left.

    Where there is no terminal, such as in a log file, a line says the same after a trial, at most
    one in 10 seconds, on the error stream.

    Args:
        study: The study; its finished trials count as done.
        n_trials: Trials after which the study ends.
        console: Where to draw.
    """

    def __init__(self, study: optuna.Study, *, n_trials: int, console: Console) -> None:
        best = best_trials(study, 1)
        self._best = best[0].value if best else None
        self._maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        self._done = len(study.get_trials(deepcopy=False, states=FINISHED))
        self._reused = 0
        self._n_trials = n_trials
        self._lines = None if console.is_terminal else Console(stderr=True, soft_wrap=True)
        self._said_at = -math.inf
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
        self._say(trial)

    def _say(self, trial: FrozenTrial) -> None:
        """Print a line where there is no bar: the first, the last, and one in 10 seconds."""
        now = time.monotonic()
        is_due = now - self._said_at >= _SECONDS_BETWEEN_LINES or self._done == self._n_trials
        if self._lines is None or not is_due:
            return
        self._said_at = now
        value = "" if trial.value is None else f" {trial.value:.4f}"
        seconds = "" if trial.duration is None else f", {trial.duration.total_seconds():.1f} s"
        metrics = "".join(
            f", {key.replace('_', ' ')} {trial.user_attrs[key]:.4f}"
            for key in ("train_loss", "valid_loss")
            if isinstance(trial.user_attrs.get(key), int | float)
        )
        params = ", ".join(f"{name}={_shown(value)}" for name, value in trial.params.items())
        line = (
            f"{self._where}trial {trial.number}: {trial.state.name.lower()}{value}{seconds}"
            f"{metrics}; {self._done}/{self._n_trials} done, best {self._shown_best()}; {params}"
        )
        self._lines.print(printable(line), markup=False, highlight=False)

    def _shown_best(self) -> str:
        reused = f", {self._reused} reused" if self._reused else ""
        return ("–" if self._best is None else f"{self._best:.4f}") + reused


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class JudgeProgress(Bar):
    """Draw the trainings of a judgement and the time left.

    Args:
        console: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._task = self._progress.add_task("judging on test data", total=None)

    def count(self, done: int, total: int) -> None:
        """Show the trainings done and of all trainings."""
        self._progress.update(self._task, completed=done, total=total)


class ComparisonProgress(Bar):
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

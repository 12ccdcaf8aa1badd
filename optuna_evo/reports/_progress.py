"""A live progress bar for a search; silent where nobody watches."""

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import TextColumn

from optuna_evo.attributes import REUSED_FROM
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._summary import generation_of
from optuna_evo.reports._trial_bar import TrialBar
from optuna_evo.search import FINISHED


__all__ = ["SearchProgress"]


class SearchProgress(TrialBar):
    """Listen to a search and draw generation, best value, trials and time to go.

    Args:
        study: The study, for what is finished already.
        n_trials: Trials that the study ends after.
        console: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, study: optuna.Study, *, n_trials: int, console: Console) -> None:
        best = best_trials(study, 1)
        self._best = best[0].value if best else None
        self._maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        self._done = len(study.get_trials(deepcopy=False, states=FINISHED))
        self._reused = 0
        self._where = ""
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
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            pick = max if self._maximize else min
            self._best = trial.value if self._best is None else pick(self._best, trial.value)
        self._progress.update(self._task, completed=self._done, best=self._shown_best())

    def _shown_best(self) -> str:
        reused = f", {self._reused} reused" if self._reused else ""
        return ("–" if self._best is None else f"{self._best:.4f}") + reused

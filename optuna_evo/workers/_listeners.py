"""Several listeners as one."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optuna_evo.search import Listener


__all__ = ["Listeners"]


class Listeners:
    """Tell each of several listeners what a search tells.

    Args:
        listeners: In the order in which they hear of it.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def started(self, trial_number: int) -> None:
        """Pass on that a trial begins."""
        for listener in self._listeners:
            listener.started(trial_number)

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Pass on that a trial has reported."""
        for listener in self._listeners:
            listener.reported(trial_number, report, n_reports)

    def finished(self, trial: FrozenTrial) -> None:
        """Pass on that a trial is complete or pruned."""
        for listener in self._listeners:
            listener.finished(trial)

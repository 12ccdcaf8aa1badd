"""SQLite in which one trial has one worker.

`SELECT … FOR UPDATE`, by which Optuna makes a change of state atomic, does nothing in SQLite: two
workers that read the state at the same time both change it. Here the change begins by taking the
lock for writing, so that what is read next stays true until it is written.
"""

from collections.abc import Sequence

from optuna.trial import TrialState

from optuna_evo.search._lean import LeanStorage
from optuna_evo.search._leases._transactions import writing


__all__ = ["SqliteStorage"]


class SqliteStorage(LeanStorage):
    """An RDB storage on SQLite whose changes of state are atomic."""

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change the state of a trial, as in any RDB storage, and keep others out meanwhile."""
        with writing(self):  # Optuna takes up the session that this has opened, and commits it
            return bool(super().set_trial_state_values(trial_id, state, values))

"""The figures of lineages on the dashboard's page while a study runs."""

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.reports._lineage_figures import show_lineages
from optuna_evo.search import Listener


__all__ = ["LineagePages"]


class LineagePages:
    """Listen to a search and renew the figures once a generation.

    Args:
        study: The study.
        inherit: "parent", "shared" or "none" (see `optuna_evo.search.Lineage`).
        every: Complete trials of a generation, those of all workers counted.
        listener: Another listener, called first; None: none.
    """

    def __init__(
        self, study: optuna.Study, *, inherit: str, every: int, listener: Listener | None
    ) -> None:
        self._study = study
        self._inherit = inherit
        self._every = every
        self._listener = listener

    def started(self, trial_number: int) -> None:
        """Pass it on."""
        if self._listener is not None:
            self._listener.started(trial_number)

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Pass it on."""
        if self._listener is not None:
            self._listener.reported(trial_number, report, n_reports)

    def finished(self, trial: FrozenTrial) -> None:
        """Pass it on; with the last trial of a generation renew the figures."""
        if self._listener is not None:
            self._listener.finished(trial)
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.state == TrialState.COMPLETE and len(complete) % self._every == 0:
            show_lineages(self._study, inherit=self._inherit)

"""What a study shows on its pages in optuna-dashboard."""

import contextlib

from optuna_evo.errors import UsageError
from optuna_evo.objectives import kind_of
from optuna_evo.reports import best_trials
from optuna_evo.reports import controller_figure
from optuna_evo.reports import show_lineages
from optuna_evo.reports import study_note
from optuna_evo.reports import summarise
from optuna_evo.reports import tuning_course
from optuna_evo.reports import tuning_figure
from optuna_evo.study._parts import build_space
from optuna_evo.study._stored import StoredStudy
from optuna_evo.study._trained import trace_best


__all__ = ["show_in_dashboard"]

_FIGURE_ID, _CONTROLLER_ID = "tuning-course", "controller"


def show_in_dashboard(stored: StoredStudy) -> None:
    """Put the best rule and the course of the study on its pages in optuna-dashboard.

    The figure and the note take the place of the last ones; without a complete trial there are
    none.
    """
    from optuna_dashboard import save_note
    from optuna_dashboard import save_plotly_graph_object

    if not best_trials(stored.study, 1):
        return
    summary = summarise(stored.study, build_space(stored.spec))
    save_note(stored.study, study_note(summary))
    figure = tuning_figure(tuning_course(stored.study, stored.spec.objective.cost))
    save_plotly_graph_object(stored.study, figure, graph_object_id=_FIGURE_ID)
    if kind_of(stored.spec).has_lineages:
        show_lineages(stored.study, inherit=stored.spec.lineage.inherit)
    if kind_of(stored.spec).trains_controllers:
        with contextlib.suppress(UsageError):  # the best is a genome
            figure = controller_figure(trace_best(stored, n_tasks=2))
            save_plotly_graph_object(stored.study, figure, graph_object_id=_CONTROLLER_ID)

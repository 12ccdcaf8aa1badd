"""What a study keeps for its pages in optuna-dashboard, whoever serves them: a note, figures.

`optuna_evo dashboard` shows more, and all of it as it is now (`DashboardPages`). What is stored
here is for the dashboard by itself: written when a run ends, so that no ask waits for it.
"""

from collections.abc import Callable
import contextlib
import hashlib
import re
from typing import Any

from optuna_evo.attributes import NOTE
from optuna_evo.errors import UsageError
from optuna_evo.objectives import kind_of
from optuna_evo.reports import best_trials
from optuna_evo.reports import controller_figure
from optuna_evo.reports import grids_of
from optuna_evo.reports import markdown_grid
from optuna_evo.reports import study_note
from optuna_evo.reports import summarise
from optuna_evo.study._figures import CONTROLLER_ID
from optuna_evo.study._figures import study_figures
from optuna_evo.study._next import next_lines
from optuna_evo.study._next import state_of
from optuna_evo.study._reporting import about
from optuna_evo.study._reporting import judgement_of
from optuna_evo.study._reporting import space_of
from optuna_evo.study._stored import StoredStudy
from optuna_evo.study._trained import trace_best


__all__ = ["is_own_note", "page_note", "show_in_dashboard"]

_OLD_NOTE = re.compile(r"Best: trial \d+, value |No trial is complete yet\.")


def show_in_dashboard(stored: StoredStudy) -> None:
    """Write the note and the figures of a study for its pages in optuna-dashboard.

    They take the place of the last ones, but for a note that a user has written; without a
    complete trial there are none.
    """
    from optuna_dashboard import get_note
    from optuna_dashboard import save_note
    from optuna_dashboard import save_plotly_graph_object

    study = stored.study
    if not best_trials(study, 1):
        return
    configure = space_of(stored)
    known, text = get_note(study), page_note(stored, configure)
    if known != text and (not known or is_own_note(known, NOTE.read(study.user_attrs))):
        save_note(study, text)
        study.set_user_attr(NOTE.key, _digest(text))
    controller = None
    if kind_of(stored.spec).trains_controllers:
        with contextlib.suppress(UsageError):  # the best is a genome
            controller = controller_figure(trace_best(stored, n_tasks=2))
    figures = study_figures(stored, configure, room=4 - (controller is not None))
    if controller is not None:
        figures[CONTROLLER_ID] = controller
    for name, figure in figures.items():
        save_plotly_graph_object(study, figure, graph_object_id=name)


def page_note(stored: StoredStudy, configure: Callable[[Any], Any]) -> str:
    """Return the note of a study: what it is, the best, the judge's table, how to go on."""
    _, table = judgement_of(stored)
    grids = [] if table is None else grids_of(table)
    return study_note(
        summarise(stored.study, configure),
        about=about(stored),
        tables=[line for grid in grids for line in [*markdown_grid(grid), ""]],
        commands=next_lines("dashboard", state_of(stored)),
    )


def is_own_note(text: str, digest: object) -> bool:
    """Tell whether a note is one that we wrote, and nobody has changed.

    Args:
        text: The note.
        digest: What stands in `attributes.NOTE`; earlier versions wrote none.
    """
    return _digest(text) == digest or _OLD_NOTE.match(text) is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""The figures on a study's page in optuna-dashboard: at most four, each with an id for ever."""

from collections.abc import Callable
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.objectives import kind_of
from optuna_evo.reports import best_figure
from optuna_evo.reports import lineage_figure
from optuna_evo.reports import population_figure
from optuna_evo.reports import schedule_figure
from optuna_evo.reports import summarise_lineages
from optuna_evo.reports import tasks_figure
from optuna_evo.reports import tuning_course
from optuna_evo.reports import usage_figure
from optuna_evo.reports import usage_of
from optuna_evo.study._reporting import judgement_of
from optuna_evo.study._reporting import winning_trial
from optuna_evo.study._stored import StoredStudy


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["CONTROLLER_ID", "FIGURE_IDS", "study_figures"]

# A figure with the id of an older one replaces it, and none can be removed: so ids stay.
_BEST, _LINEAGES, _SCHEDULE = "tuning-course", "lineages", "learned-schedule"
_POPULATION, _TASKS, _USAGE = "population", "tasks", "usage"
CONTROLLER_ID = "controller"
FIGURE_IDS = (
    _BEST,
    _LINEAGES,
    _SCHEDULE,
    _POPULATION,
    _USAGE,
    _TASKS,
    CONTROLLER_ID,
)
"""All ids that we give, in the order of the page."""
_MOST_FIGURES = 4


def study_figures(
    stored: StoredStudy, configure: Callable[[Any], Any], *, room: int = _MOST_FIGURES
) -> dict[str, "Figure"]:
    """Return what there is to show of a study, by id; the most telling, at most four.

    The dashboard draws importances by itself.

    Args:
        stored: The study.
        configure: Its search space (`space_of`).
        room: How many there may be.
    """
    course = tuning_course(stored.study, predict=False, cost=stored.spec.objective.cost)
    if not course.values:
        return {}
    found = {_BEST: best_figure(course)}
    winner = winning_trial(stored) if kind_of(stored.spec).has_lineages else None
    if winner is not None:
        lineages = summarise_lineages(stored.study, winner)
        found[_LINEAGES] = lineage_figure(lineages)
        found[_SCHEDULE] = schedule_figure(lineages)
    elif len(course.generations) > 1:
        found[_POPULATION] = population_figure(course.generations, course.better)
    usage = usage_of(stored.study.get_trials(deepcopy=False), configure)
    if usage is not None:
        found[_USAGE] = usage_figure(usage)
    if course.tasks:
        found[_TASKS] = tasks_figure(course, judgement_of(stored)[0])
    chosen = [*found][:room]
    return {name: found[name] for name in FIGURE_IDS if name in chosen}

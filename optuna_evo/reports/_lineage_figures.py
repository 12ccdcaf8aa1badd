"""Lineages and the learned schedule as figures on the study's page in the dashboard.

A figure is stored in attributes of the study, and every ask reads those again: it must stay below
50 kB, however long the study is.
"""

from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.reports._lineage import LineageNode
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._lineage import summarise_lineages
from optuna_evo.search import best_of
from optuna_evo.search import Listener
from optuna_evo.search import living


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["lineage_figure", "LineagePages", "schedule_figure", "show_lineages"]

_IDS = ("lineages", "learned-schedule")  # a figure with the id of an older one replaces it
_WINNER, _OTHERS = "#d1672b", "#9db4d3"
# With these bounds a study of 1,200 segments, half of them in the winner's lineage, fits in 50 kB.
_MAX_EDGES = 500
_MAX_SEGMENTS = 120
_COLUMNS = 3
_HEIGHT = 430  # the dashboard shows 450 pixels
_N_DIGITS = 5  # of a coordinate: more cannot be seen and would make the figure larger


def show_lineages(study: optuna.Study, *, inherit: str) -> None:
    """Put both figures on the study's page in optuna-dashboard; they replace older ones.

    Args:
        study: A study whose trials are segments.
        inherit: "parent", "shared" or "none" (see `optuna_evo.search.Lineage`).
    """
    from optuna_dashboard import save_plotly_graph_object

    trials = study.get_trials(deepcopy=False)
    alive = living(trials, inherit=inherit, direction=study.direction)
    winner = best_of(alive, study.direction)
    if winner is None:
        return
    lineages = summarise_lineages(study, winner.number)
    figures = (lineage_figure(lineages), schedule_figure(lineages))
    for name, figure in zip(_IDS, figures, strict=True):
        save_plotly_graph_object(study, figure, graph_object_id=name)


def lineage_figure(lineages: Lineages) -> "Figure":
    """Draw every segment as an edge from its parent's value to its own, over optimizer steps."""
    from plotly import graph_objects as go

    figure = go.Figure()
    others = [n for n in lineages.nodes.values() if not n.is_winning and not n.diverged]
    for name, nodes, colour, width in (
        ("others", others[-_MAX_EDGES:], _OTHERS, 1),
        ("the winner's lineage", list(lineages.winning)[-_MAX_EDGES:], _WINNER, 3),
    ):
        x, y = _edges(lineages, nodes)
        line = {"color": colour, "width": width}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines+markers", line=line, marker_size=4, name=name)
        )
    low, high = _view([n.value for n in lineages.nodes.values() if not n.diverged])
    figure.update_layout(title="Lineages", **_layout())
    figure.update_xaxes(title="optimizer steps since fresh weights")
    figure.update_yaxes(title="value", range=[low, high])
    return figure


def schedule_figure(lineages: Lineages) -> "Figure":
    """Draw each hyperparameter over the optimizer steps of the winner's lineage."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    names = [name for name in lineages.scales if _is_number(lineages, name)]
    rows = max(1, math.ceil(len(names) / _COLUMNS))
    figure = make_subplots(rows=rows, cols=_COLUMNS, subplot_titles=names)
    stride = math.ceil(len(lineages.winning) / _MAX_SEGMENTS)
    segments = [*lineages.winning[::stride], lineages.winning[-1]]
    for nth, name in enumerate(names):
        x = [step for node in segments for step in (node.first_step, node.last_step)]
        y = [_short(node.params.get(name)) for node in segments for _ in range(2)]
        place = {"row": nth // _COLUMNS + 1, "col": nth % _COLUMNS + 1}
        line = {"color": _WINNER, "shape": "hv"}
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, showlegend=False)
        figure.add_trace(trace, **place)
        if lineages.scales[name]:
            figure.update_yaxes(type="log", **place)
    figure.update_layout(**_layout())
    return figure


class LineagePages:
    """Listen to a search and update the figures on the dashboard once per generation.

    Args:
        study: The study.
        inherit: "parent", "shared" or "none" (see `optuna_evo.search.Lineage`).
        every: Complete trials of a generation, those of all workers counted.
        listener: Gets every call too, if there is one.
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
        """Pass it on; after the last trial of a generation update the figures."""
        if self._listener is not None:
            self._listener.finished(trial)
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.state == TrialState.COMPLETE and len(complete) % self._every == 0:
            show_lineages(self._study, inherit=self._inherit)


def _edges(
    lineages: Lineages, nodes: Sequence[LineageNode]
) -> tuple[list[int | None], list[float | None]]:
    """Return the points of all edges, with a gap after each pair of parent and child."""
    x: list[int | None] = []
    y: list[float | None] = []
    for node in nodes:
        parent = lineages.nodes.get(node.parent) if node.parent is not None else None
        if parent is not None:
            x.append(node.first_step)
            y.append(_short(parent.value))
        x += [node.last_step, None]
        y += [_short(node.value), None]
    return x, y


def _is_number(lineages: Lineages, name: str) -> bool:
    values = [node.params.get(name) for node in lineages.winning]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _view(values: Sequence[float]) -> tuple[float, float]:
    """Return the range to show.

    It reaches from the lowest value at most five times as far as the median, so that the first,
    high losses of a lineage do not flatten the rest.
    """
    ordered = sorted(values) or [0.0]
    low, middle = ordered[0], ordered[len(ordered) // 2]
    high = min(ordered[-1], middle + 4 * (middle - low) + 1e-9)
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _short(value: Any) -> float:
    return float(f"{value:.{_N_DIGITS}g}")


def _layout() -> dict[str, Any]:
    margin = {"t": 40, "b": 40, "l": 55, "r": 10}
    return {"template": "none", "height": _HEIGHT, "margin": margin}

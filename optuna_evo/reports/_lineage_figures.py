"""Lineages and the learned schedule as figures on the study's page in the dashboard.

A figure is stored in attributes of the study, and every ask reads those again: it must stay below
50 kB, however long the study is.
"""

from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.reports._lineage import LineageNode
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._page_figures import page_layout
from optuna_evo.reports._page_figures import plain_text


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["lineage_figure", "schedule_figure"]

_WINNER, _OTHERS = "#d1672b", "#9db4d3"
# With these bounds a study of 1,200 segments, half of them in the winner's lineage, fits in 50 kB.
_MAX_EDGES = 500
_MAX_SEGMENTS = 120
_COLUMNS = 3
_N_DIGITS = 5  # of a coordinate: more cannot be seen and would make the figure larger


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
    xlabel = "optimizer steps since fresh weights"
    figure.update_layout(**page_layout("Lineages", xlabel, "value"))
    figure.update_yaxes(range=[low, high])
    return figure


def schedule_figure(lineages: Lineages) -> "Figure":
    """Draw each hyperparameter over the optimizer steps of the winner's lineage."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    names = [name for name in lineages.scales if _is_number(lineages, name)]
    rows = max(1, math.ceil(len(names) / _COLUMNS))
    titles = [plain_text(name) for name in names]
    figure = make_subplots(rows=rows, cols=_COLUMNS, subplot_titles=titles)
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
    layout = page_layout("The schedule of the winner's lineage, over steps", "", "")
    figure.update_layout({key: layout[key] for key in ("template", "height", "margin", "title")})
    figure.update_annotations(font_size=11)
    figure.update_xaxes(tickfont_size=9, nticks=4)
    figure.update_yaxes(tickfont_size=9)
    return figure


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

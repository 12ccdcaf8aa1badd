"""Figures on a study's page in optuna-dashboard, by Plotly.

The dashboard gives each a card of 450 pixels height in two columns, draws its tool bar over the
upper right corner, and gets all figures with every poll; where they are stored, a sampler reads
them with every ask. So each is one panel with a short title to the left above the axes, and has
less than 50 kB however long the study is.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import JudgeRow
from optuna_evo.names import printable
from optuna_evo.reports._bands import bands_of
from optuna_evo.reports._bands import view_of
from optuna_evo.reports._tuning import TuningCourse
from optuna_evo.reports._usage import Usage


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = [
    "best_figure",
    "page_layout",
    "plain_text",
    "population_figure",
    "tasks_figure",
    "usage_figure",
]

_BLUE, _ORANGE, _GREY = "#3b6fb6", "#d1672b", "#9aa5b1"
_TASK_COLOURS = ("#3b6fb6", "#4a9a5c", "#8a5aa8", "#b0894a", "#50a0a8", "#c05a78")
# With these bounds no figure of a study of 10,000 trials reaches 50 kB.
_MOST_DOTS = 900
_MOST_TASKS = 6
_MOST_COLUMNS = 60
_MOST_TRAITS = 14
_MOST_NAME = 28
_DIGITS = 5  # of a coordinate: more cannot be seen and would make the figure larger
_BAND = ["best", "upper quartile", "median", "lower quartile"]


def page_layout(title: str, xlabel: str, ylabel: str, **more: Any) -> dict[str, Any]:
    """Return the layout that all of them share; texts are shown as they are, not as HTML."""
    return {
        "template": "none",
        "height": 430,
        "margin": {"t": 64, "b": 52, "l": 66, "r": 18},
        "title": {
            "text": plain_text(title),
            "x": 0.01,
            "xanchor": "left",
            "y": 0.97,
            "yanchor": "top",
            "font": {"size": 15},
        },
        "xaxis": {"title": {"text": plain_text(xlabel)}, "zeroline": False},
        "yaxis": {"title": {"text": plain_text(ylabel)}, "zeroline": False},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        **more,
    }


def plain_text(text: str) -> str:
    """Return a text in which Plotly, which draws some tags, finds none."""
    shown = printable(text)
    shown = shown if len(shown) <= 80 else shown[:79] + "…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def best_figure(course: TuningCourse) -> "Figure":
    """Draw the value of each trial, and the best so far."""
    from plotly import graph_objects as go

    low, high, n_outside = view_of(course.values, course.better)
    dots, along = _thinned(course), course.progress
    figure = go.Figure(layout=page_layout("Best value so far", course.progress_name, "value"))
    colours = [_ORANGE if course.is_bandit[i] else _BLUE for i in dots]
    is_mixed = len({*colours}) > 1
    figure.add_trace(
        go.Scatter(
            x=[along[i] for i in dots],
            y=[_short(course.values[i]) for i in dots],
            mode="markers",
            marker={"color": colours if is_mixed else _BLUE, "size": 5, "opacity": 0.55},
            name="trial (orange: by the bandit)" if is_mixed else "trial",
        )
    )
    steps = _changes(course.best_so_far)
    figure.add_trace(
        go.Scatter(
            x=[along[i] for i in steps],
            y=[_short(course.best_so_far[i]) for i in steps],
            mode="lines",
            line={"shape": "hv", "color": _ORANGE, "width": 2.5},
            name=f"best so far ({course.better} is better)",
        )
    )
    figure.update_yaxes(range=[low, high])
    if n_outside:
        name = plain_text(course.progress_name)
        figure.update_xaxes(title={"text": f"{name} ({n_outside} values outside the picture)"})
    return figure


def tasks_figure(course: TuningCourse, rows: Sequence[JudgeRow] = ()) -> "Figure":
    """Draw each trial's accuracy on every task, of a single one with the judge's baselines."""
    from plotly import graph_objects as go

    title = "Validation accuracy by task"
    if len(course.tasks) == 1 and rows:
        title = "Validation accuracy; bands: test rows, 95 %"
    figure = go.Figure(layout=page_layout(title, "trial", "accuracy"))
    if len(course.tasks) == 1:
        _add_bands(figure, course, rows)
    dots = _thinned(course, _MOST_DOTS // max(1, min(_MOST_TASKS, len(course.tasks))))
    for (task, values), colour in zip(course.tasks.items(), _TASK_COLOURS, strict=False):
        points = [i for i in dots if math.isfinite(values[i])]
        figure.add_trace(
            go.Scatter(
                x=[course.numbers[i] for i in points],
                y=[_short(values[i]) for i in points],
                mode="markers",
                marker={"color": colour, "size": 5, "opacity": 0.7},
                name=_name(task),
            )
        )
    return figure


def _add_bands(figure: "Figure", course: TuningCourse, rows: Sequence[JudgeRow]) -> None:
    """Add the judged rule and the best baselines as bands, and choose what is shown."""
    from plotly import graph_objects as go

    ((task, values),) = course.tasks.items()
    shown = [v for v in values if math.isfinite(v)]
    low, high, _ = view_of(shown, "higher") if shown else (0.0, 1.0, 0)
    ends = [course.numbers[0], course.numbers[-1]]
    for row, colour, name in bands_of(rows, task):
        interval = Interval.of(row.accuracies[task])
        half = 0.0 if math.isnan(interval.half_width) else interval.half_width
        y = [interval.mean, interval.mean]
        line = {"color": colour, "dash": "dash", "width": 1.5}
        figure.add_trace(go.Scatter(x=ends, y=y, mode="lines", line=line, name=_name(name)))
        figure.add_hrect(
            y0=interval.mean - half,
            y1=interval.mean + half,
            fillcolor=colour,
            opacity=0.18,
            line_width=0,
        )
        low, high = min(low, interval.mean - 2 * half), max(high, interval.mean + 2 * half)
    figure.update_yaxes(range=[low, high])


def population_figure(generations: Mapping[int, Sequence[float]], better: str) -> "Figure":
    """Draw the best, the median and the quartiles of each generation."""
    from plotly import graph_objects as go

    figure = go.Figure(layout=page_layout("Population", "generation", "value"))
    chosen = _spread([*generations], _MOST_COLUMNS)
    best = 100 if better == "higher" else 0
    quartiles = np.array([np.percentile(generations[g], (best, 75, 50, 25)) for g in chosen])
    for k, name in enumerate(_BAND):
        is_quartile = "quartile" in name
        line: dict[str, Any] = {"color": _ORANGE if k == 0 else _BLUE, "width": 2}
        if is_quartile:
            line = {"color": _GREY, "width": 0.5}
        figure.add_trace(
            go.Scatter(
                x=chosen,
                y=[_short(v) for v in quartiles[:, k]],
                mode="lines" if is_quartile else "lines+markers",
                line=line,
                name="middle half" if name == "lower quartile" else name,
                fill="tonexty" if k == 2 else None,
                fillcolor="rgba(154,165,177,.3)",
                showlegend=not is_quartile,
            )
        )
    # the lower band is filled up to the median, which comes before it
    figure.data[3].fill = "tonexty"
    low, high, _ = view_of([v for values in generations.values() for v in values], better)
    figure.update_yaxes(range=[low, high])
    return figure


def usage_figure(usage: Usage) -> "Figure":
    """Draw which share of a generation has each trait."""
    from plotly import graph_objects as go

    where = "generation" if usage.is_generation else "trials from"
    layout = page_layout("What the trials use, share", where, "")
    layout["margin"] = {**layout["margin"], "l": 10}
    layout["yaxis"] |= {"automargin": True, "autorange": "reversed", "type": "category"}
    layout["xaxis"] |= {"type": "category"}
    figure = go.Figure(layout=layout)
    columns = _spread([*range(len(usage.columns))], _MOST_COLUMNS)
    figure.add_trace(
        go.Heatmap(
            x=[str(usage.columns[k]) for k in columns],
            y=[_name(trait) for trait in usage.traits[:_MOST_TRAITS]],
            z=[[round(row[k], 2) for k in columns] for row in usage.shares[:_MOST_TRAITS]],
            colorscale="Blues",
            zmin=0,
            zmax=1,
            colorbar={"thickness": 12, "tickformat": ".0%"},
            hovertemplate="%{y}: %{z:.0%} of %{x}<extra></extra>",
        )
    )
    return figure


def _thinned(course: TuningCourse, most: int = _MOST_DOTS) -> list[int]:
    """Return which trials are drawn: all, or evenly spread ones with those that were best."""
    n = len(course.values)
    if n <= most:
        return [*range(n)]
    kept = {*_spread([*range(n)], most - len(_changes(course.best_so_far)) - 1)}
    return sorted(kept | {*_changes(course.best_so_far)})


def _changes(best: Sequence[float]) -> list[int]:
    """Return where the best value changes, and the last place, so that a line reaches it."""
    found = [i for i, v in enumerate(best) if v == v and (i == 0 or v != best[i - 1])]
    return [*found, len(best) - 1] if found and found[-1] != len(best) - 1 else found


def _spread(items: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the items, evenly spread, the last among them."""
    most = max(2, most)
    if len(items) <= most:
        return [*items]
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _name(text: str) -> str:
    shown = printable(text)
    return plain_text(shown if len(shown) <= _MOST_NAME else shown[: _MOST_NAME - 1] + "…")


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")

"""Draw the course of a tuning study: a PNG by matplotlib, a figure for the dashboard by Plotly."""

from collections.abc import Sequence
from itertools import cycle
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._figure_text import in_figure
from optuna_evo.reports._tuning import MIN_TRIALS_TO_PREDICT
from optuna_evo.reports._tuning import TuningCourse


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

__all__ = ["draw_tuning_course", "tuning_figure"]

_GENETIC, _BANDIT = "#3b6fb6", "#d1672b"
_TITLES = ("Value", "Values by generation", "Best value so far", "Predicted and measured")
_MARKS = ("o", "s", "^", "D", "v")


def draw_tuning_course(course: TuningCourse, path: Path) -> None:
    """Write the four views as a PNG file."""
    from matplotlib.figure import Figure as Canvas  # no pyplot: no global state, no window

    canvas = Canvas(figsize=(11, 8), layout="constrained")
    values, generations, best, predicted = canvas.subplots(2, 2).flat
    for axes, title in zip((values, generations, best, predicted), _TITLES, strict=True):
        axes.set_title(title)
        axes.grid(alpha=0.3)
    colours = [_BANDIT if bandit else _GENETIC for bandit in course.is_bandit]
    values.scatter(course.numbers, course.values, c=colours, s=18)
    values.set(xlabel="trial", ylabel=_value_label(course), title=_first_title(course))
    if _has_losses(course):
        losses = values.twinx()
        losses.plot(course.numbers, course.losses, color="0.6", lw=0.8)
        losses.set(ylabel="loss (grey line)", yscale="log")
    if course.generations:
        generations.boxplot(
            list(course.generations.values()), tick_labels=list(map(str, course.generations))
        )
    generations.set(xlabel="generation", ylabel="value")
    best.step(_progress(course), course.best_so_far, where="post", color=_BANDIT)
    first_bandit = _first_bandit(course)
    if first_bandit is not None and not course.spent:
        best.axvline(first_bandit - 0.5, color="0.5", ls="--", lw=1, label="bandit phase begins")
        best.legend(loc="center right")
    best.set(xlabel=in_figure(course.cost) if course.spent else "trial")
    best.set(ylabel=f"best value ({course.better} is better)")
    if course.predicted:
        predicted.scatter(course.values, course.predicted, c=colours, s=18)
        predicted.set(title=_predicted_title(course))
        predicted.set(xlabel="measured value", ylabel="meta-learner, cross-validated (own scale)")
    elif course.tasks:
        for (task, accuracies), mark in zip(course.tasks.items(), cycle(_MARKS), strict=False):
            predicted.scatter(course.numbers, accuracies, s=18, marker=mark, label=task)
        predicted.set(title="Accuracy by task", xlabel="trial", ylabel="accuracy")
        predicted.legend()
    else:
        _say_what_is_missing(predicted, course)
    low, high, n_outside = _view(course.values)
    if n_outside:
        values.set_ylim(low, high)
        generations.set_ylim(low, high)
        if course.predicted:
            predicted.set_xlim(low, high)
        values.set_title(f"{_first_title(course)} ({n_outside} outliers not shown)")
    save_figure(canvas, path)


def tuning_figure(course: TuningCourse) -> "Figure":
    """Return the four views as a Plotly figure, small enough for the dashboard (< 50 kB)."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    last = _predicted_title(course) if course.predicted or not course.tasks else "Accuracy by task"
    titles = (_first_title(course), *_TITLES[1:3], last)
    specs = [[{"secondary_y": True}, {}], [{}, {}]]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, specs=specs)
    colours = [_BANDIT if bandit else _GENETIC for bandit in course.is_bandit]
    dots = {"mode": "markers", "marker": {"color": colours, "size": 5}, "showlegend": False}
    values = [round(v, 6) for v in course.values]  # all digits would not fit in 50 kB
    figure.add_trace(go.Scatter(x=course.numbers, y=values, **dots), row=1, col=1)
    for generation, members in course.generations.items():
        box = go.Box(y=members, name=str(generation), showlegend=False, marker_color=_GENETIC)
        figure.add_trace(box, row=1, col=2)
    line = {"mode": "lines", "line": {"shape": "hv", "color": _BANDIT}, "showlegend": False}
    progress = go.Scatter(x=_progress(course), y=course.best_so_far, **line)
    figure.add_trace(progress, row=2, col=1)
    if course.spent:
        figure.update_xaxes(title_text=in_figure(course.cost), row=2, col=1)
    if course.predicted:
        predicted = [round(p, 4) for p in course.predicted]
        figure.add_trace(go.Scatter(x=values, y=predicted, **dots), row=2, col=2)
    else:
        for task, accuracies in course.tasks.items():
            shown = [None if math.isnan(a) else round(a, 4) for a in accuracies]
            points = go.Scatter(x=course.numbers, y=shown, name=task, mode="markers")
            figure.add_trace(points, row=2, col=2)
    if _has_losses(course):
        losses = [None if math.isnan(loss) else round(loss, 4) for loss in course.losses]
        grey = {"mode": "lines", "line": {"color": "#aaa", "width": 1}, "showlegend": False}
        trace = go.Scatter(x=course.numbers, y=losses, name="loss", **grey)
        figure.add_trace(trace, row=1, col=1, secondary_y=True)
    # the dashboard shows 450 pixels
    margin = {"t": 30, "b": 30, "l": 50, "r": 10}
    figure.update_layout(template="none", height=430, margin=margin)
    return figure


def _progress(course: TuningCourse) -> list[float]:
    """Return what the best value is drawn against: the cost spent, or the trials."""
    return [float(f"{x:.6g}") for x in course.spent] or [float(n) for n in course.numbers]


def _has_losses(course: TuningCourse) -> bool:
    return any(map(math.isfinite, course.losses))


def _first_title(course: TuningCourse) -> str:
    return "Value and loss" if _has_losses(course) else _TITLES[0]


def _value_label(course: TuningCourse) -> str:
    if any(course.is_bandit):
        return "value (blue: genetic, orange: bandit)"
    return "value"


def _say_what_is_missing(axes: "Axes", course: TuningCourse) -> None:
    axes.set_axis_off()
    missing = MIN_TRIALS_TO_PREDICT - len(course.values)
    text = f"Predictions need {MIN_TRIALS_TO_PREDICT} complete trials: {missing} more."
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="0.4")


def _view(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the range to show, and how many values lie outside.

    Values more than three interquartile ranges beyond the quartiles (Tukey's far outliers) would
    flatten all others.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    reach = 3 * (high - low)
    inside = [v for v in values if low - reach <= v <= high + reach]
    margin = 0.05 * (max(inside) - min(inside)) or 0.01
    return min(inside) - margin, max(inside) + margin, len(values) - len(inside)


def _first_bandit(course: TuningCourse) -> int | None:
    pairs = zip(course.numbers, course.is_bandit, strict=True)
    return next((number for number, bandit in pairs if bandit), None)


def _predicted_title(course: TuningCourse) -> str:
    if math.isnan(course.correlation):
        return _TITLES[3]
    return f"{_TITLES[3]}: rank correlation {course.correlation:.2f}"

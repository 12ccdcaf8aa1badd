"""Draw the course of a tuning study in four views."""

from itertools import cycle
import math
from pathlib import Path
from typing import TYPE_CHECKING

from optuna_evo.reports._bands import view_of
from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._figure_text import in_figure
from optuna_evo.reports._tuning import MIN_TRIALS_TO_PREDICT
from optuna_evo.reports._tuning import TuningCourse


if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_tuning_course"]

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
    best.step(course.progress, course.best_so_far, where="post", color=_BANDIT)
    first_bandit = _first_bandit(course)
    if first_bandit is not None and not course.spent:
        best.axvline(first_bandit - 0.5, color="0.5", ls="--", lw=1, label="bandit phase begins")
        best.legend(loc="center right")
    best.set(xlabel=in_figure(course.progress_name))
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
    low, high, n_outside = view_of(course.values)
    if n_outside:
        values.set_ylim(low, high)
        generations.set_ylim(low, high)
        if course.predicted:
            predicted.set_xlim(low, high)
        values.set_title(f"{_first_title(course)} ({n_outside} outliers not shown)")
    save_figure(canvas, path)


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


def _first_bandit(course: TuningCourse) -> int | None:
    pairs = zip(course.numbers, course.is_bandit, strict=True)
    return next((number for number, bandit in pairs if bandit), None)


def _predicted_title(course: TuningCourse) -> str:
    if math.isnan(course.correlation):
        return _TITLES[3]
    return f"{_TITLES[3]}: rank correlation {course.correlation:.2f}"

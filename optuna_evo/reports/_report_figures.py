"""The pictures of a report, by matplotlib: one function a picture."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import JudgeRow
from optuna_evo.reports._bands import bands_of
from optuna_evo.reports._bands import view_of
from optuna_evo.reports._figure_text import in_figure
from optuna_evo.reports._kinship import Kin
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._tuning import TuningCourse
from optuna_evo.reports._usage import Usage


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "best_picture",
    "importance_picture",
    "kinship_picture",
    "lineage_picture",
    "population_picture",
    "schedule_picture",
    "tasks_picture",
    "usage_picture",
]

_BLUE, _ORANGE, _GREY = "#3b6fb6", "#d1672b", "#8a949e"
_MOST_TASKS = 6
_MOST_VECTORS = 400  # dots that stay shapes in an SVG; more become one picture
_MOST_BOXES = 40
_MOST_PARAMETERS = 12
_COLUMNS = 3


def best_picture(course: TuningCourse) -> "Figure":
    """Draw the value of each trial and the best so far."""
    figure = _figure(7.6, 3.6)
    axes = figure.subplots()
    _course(axes, course, course.values, course.best_so_far, course.progress)
    low, high, n_outside = view_of(course.values, course.better)
    axes.set_ylim(low, high)
    outside = f" ({n_outside} values outside the picture)" if n_outside else ""
    axes.set(
        xlabel=f"{in_figure(course.progress_name)}{outside}",
        ylabel=f"value ({course.better} is better)",
    )
    if any(course.is_bandit):
        axes.scatter([], [], s=14, color=_ORANGE, alpha=0.5, label="trial of the bandit")
    axes.legend(fontsize=8, frameon=False)
    return figure


def tasks_picture(
    course: TuningCourse, rows: Sequence[JudgeRow], final: Mapping[str, float]
) -> "Figure | None":
    """Draw each task's accuracy, trial by trial, with the bands of the judge's baselines.

    The line is the accuracy of the trial that was the best by its value at that time: what the
    search would have given. Bands are of test rows, all else is of validation rows.
    """
    tasks = [*course.tasks][:_MOST_TASKS]
    if not tasks:
        return None
    n_columns = min(_COLUMNS, len(tasks))
    n_rows = -(-len(tasks) // n_columns)
    figure = _figure(7.6 if n_columns == 1 else 3.9 * n_columns, 3.9 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).flat
    leaders = _leaders(course)
    for axes, task in zip(grid, tasks, strict=False):
        values = course.tasks[task]
        led = [values[i] if i >= 0 else math.nan for i in leaders]
        _course(axes, course, values, led, course.numbers)
        shown = [v for v in values if math.isfinite(v)]
        low, high, _ = view_of(shown, "higher") if shown else (0.0, 1.0, 0)
        for row, colour, name in bands_of(rows, task):
            interval = Interval.of(row.accuracies[task])
            half = 0.0 if math.isnan(interval.half_width) else interval.half_width
            axes.axhspan(interval.mean - half, interval.mean + half, color=colour, alpha=0.22)
            axes.axhline(
                interval.mean, color=colour, lw=1, ls="--", label=in_figure(f"{name}, test rows")
            )
            low, high = min(low, interval.mean - 2 * half), max(high, interval.mean + 2 * half)
        if len(tasks) == 1 and len(final) == 1:
            (value,) = final.values()
            axes.axhline(value, color=_ORANGE, ls=":", label="final training, test rows")
        axes.set_ylim(low, min(high, 1.0 + 0.02 * (1.0 - low)) if high > 0 else high)
        axes.set(title=in_figure(task), xlabel="trial", ylabel="accuracy")
        axes.legend(fontsize=7, frameon=False)
    for axes in [*grid][len(tasks) :]:
        axes.set_visible(False)
    return figure


def population_picture(generations: Mapping[int, Sequence[float]], better: str) -> "Figure":
    """Draw the values of each generation."""
    figure = _figure(7.6, 3.4)
    axes = figure.subplots()
    numbers = [*generations]
    if len(numbers) <= _MOST_BOXES:
        boxes = axes.boxplot(
            [generations[g] for g in numbers],
            positions=numbers,
            widths=0.6,
            patch_artist=True,
            flierprops={"markersize": 3, "markeredgecolor": _GREY},
            medianprops={"color": _ORANGE},
        )
        for box in boxes["boxes"]:
            box.set(facecolor="#dbe6f4", edgecolor=_BLUE)
    else:
        table = np.array([np.percentile(generations[g], (25, 50, 75)) for g in numbers])
        axes.fill_between(numbers, table[:, 0], table[:, 2], color=_BLUE, alpha=0.2)
        axes.plot(numbers, table[:, 1], color=_BLUE, label="median")
    pick = max if better == "higher" else min
    axes.plot(numbers, [pick(generations[g]) for g in numbers], color=_ORANGE, label="best")
    low, high, _ = view_of([v for values in generations.values() for v in values], better)
    axes.set_ylim(low, high)
    axes.set(xlabel="generation", ylabel="value")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
    return figure


def usage_picture(usage: Usage) -> "Figure":
    """Draw which share of the trials has each trait, as the search goes on."""
    figure = _figure(7.6, 1.3 + 0.26 * len(usage.traits))
    axes = figure.subplots()
    image = axes.imshow(np.array(usage.shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(usage.traits)), [in_figure(t) for t in usage.traits], fontsize=8)
    stride = max(1, len(usage.columns) // 20)
    places = range(0, len(usage.columns), stride)
    axes.set_xticks(places, [str(usage.columns[k]) for k in places], fontsize=8)
    axes.set_xlabel("generation" if usage.is_generation else "trials from")
    if len(usage.columns) <= 20:
        for y, row in enumerate(usage.shares):
            for x, share in enumerate(row):
                colour = "white" if share > 0.6 else "0.25"
                axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", c=colour, size=7)
    figure.colorbar(image, ax=axes, label="share of the trials", pad=0.01)
    return figure


def importance_picture(importance: Mapping[str, float]) -> "Figure":
    """Draw the share of each parameter in what the value depends on."""
    figure = _figure(7.6, 1.0 + 0.28 * len(importance))
    axes = figure.subplots()
    names = [*importance][::-1]
    axes.barh([in_figure(n) for n in names], [importance[n] for n in names], color=_BLUE)
    axes.set_xlabel("importance by PED-ANOVA, the sum of all being 1")
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    return figure


def kinship_picture(kin: Sequence[Kin]) -> "Figure":
    """Draw the ancestors of the best trial: their values by generation, parents joined."""
    figure = _figure(7.6, 3.6)
    axes = figure.subplots()
    known = {each.number: each for each in kin}
    for each in kin:
        for parent in filter(None, map(known.get, each.parents)):
            axes.plot(
                (parent.generation, each.generation), (parent.value, each.value), "0.75", lw=0.8
            )
    best = kin[-1]
    axes.scatter([k.generation for k in kin], [k.value for k in kin], s=16, color=_BLUE, zorder=2)
    axes.scatter([best.generation], [best.value], s=46, color=_ORANGE, zorder=3)
    close = known.keys() & {*best.parents}
    for number in (best.number, *sorted(close)):
        each = known[number]
        axes.annotate(
            f"{number}",
            (each.generation, each.value),
            (4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    low, high, _ = view_of([k.value for k in kin])
    axes.set_ylim(low, high)
    axes.set(xlabel="generation", ylabel="value")
    axes.grid(alpha=0.3)
    return figure


def lineage_picture(lineages: Lineages) -> "Figure":
    """Draw every segment as an edge from its parent's value to its own, over optimizer steps."""
    figure = _figure(7.6, 3.8)
    axes = figure.subplots()
    shown = [node for node in lineages.nodes.values() if not node.diverged]
    for node in sorted(shown, key=lambda n: n.is_winning):
        parent = lineages.nodes.get(node.parent) if node.parent is not None else None
        x = [parent.last_step, node.last_step] if parent else [node.last_step]
        y = [parent.value, node.value] if parent else [node.value]
        style = {"color": _ORANGE, "lw": 2.2} if node.is_winning else {"color": _BLUE, "lw": 0.7}
        axes.plot(x, y, "-o", ms=3 if node.is_winning else 2, **style)  # type: ignore[arg-type]
    if shown:
        low, high, _ = view_of([node.value for node in shown])
        axes.set_ylim(low, high)
    axes.set(xlabel="optimizer steps since fresh weights", ylabel="value")
    axes.grid(alpha=0.3)
    return figure


def schedule_picture(lineages: Lineages) -> "Figure | None":
    """Draw each hyperparameter over the optimizer steps of the winner's lineage."""
    names = [
        name
        for name in lineages.scales
        if all(_is_number(node.params.get(name)) for node in lineages.winning)
    ][:_MOST_PARAMETERS]
    if not names or not lineages.winning:
        return None
    n_rows = -(-len(names) // _COLUMNS)
    figure = _figure(9.2, 2.2 * n_rows + 0.4)
    grid = figure.subplots(n_rows, _COLUMNS, squeeze=False).flat
    for axes, name in zip(grid, names, strict=False):
        x = [step for node in lineages.winning for step in (node.first_step, node.last_step)]
        y = [float(node.params[name]) for node in lineages.winning for _ in range(2)]
        axes.plot(x, y, color=_ORANGE)
        axes.set_title(in_figure(name), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if lineages.scales[name]:
            axes.set_yscale("log")
    for axes in [*grid][len(names) :]:
        axes.set_visible(False)
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # no pyplot: no global state, no window

    return Figure(figsize=(width, height), layout="constrained")


def _course(
    axes: "Axes",
    course: TuningCourse,
    values: Sequence[float],
    line: Sequence[float],
    along: Sequence[float],
) -> None:
    colours = [_ORANGE if bandit else _BLUE for bandit in course.is_bandit]
    dots: Any = axes.scatter(along, values, c=colours, s=12, alpha=0.5, label="trial")
    dots.set_rasterized(len(values) > _MOST_VECTORS)
    axes.step(along, line, where="post", color=_ORANGE, lw=2, label="best so far")
    axes.grid(alpha=0.3)


def _leaders(course: TuningCourse) -> list[int]:
    """Return for each trial the place of the one that was the best by then; -1: none yet."""
    found: list[int] = []
    best, place = math.nan, -1
    for i, value in enumerate(course.best_so_far):
        if value == value and value != best:
            best, place = value, i
        found.append(place)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Draw a comparison of samplers: the best value against evaluations and against their cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optuna_evo.reports._comparison import best_at
from optuna_evo.reports._comparison import Comparison
from optuna_evo.reports._comparison import Contender
from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._figure_text import in_figure
from optuna_evo.samplers import SECONDS


__all__ = ["draw_comparison"]

_COLOURS = ("#3b6fb6", "#d1672b", "#4f9d4f", "#8a5fb0", "#b5485d", "#7a7a7a", "#c9a227", "#2f9c95")
_N_TIMES = 200  # points of a curve over time
# The first evaluations are random draws, often far worse than all later ones: the axis leaves them
# out.
_N_UNSHOWN = 3

Array = NDArray[np.float64]


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Write the curves as a PNG file: medians over seeds, with the band of the middle half."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # no pyplot: no global state, no window

    def draw(axes: Axes, x: Array, curves: Array, label: str, colour: str) -> None:
        # only where all seeds have a value: one that starts later would make the median fall
        shown = np.isfinite(curves).all(axis=0)
        low, median, high = np.quantile(curves[:, shown], [0.25, 0.5, 0.75], axis=0)
        axes.step(x[shown], median, where="post", color=colour, label=label)
        axes.fill_between(x[shown], low, high, step="post", color=colour, alpha=0.15, lw=0)

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    by_count, by_cost = figure.subplots(1, 2, sharey=True)
    longest = max(len(course.best) for each in comparison.contenders for course in each.courses)
    for i, contender in enumerate(comparison.contenders):
        label, colour = in_figure(contender.label), _COLOURS[i % len(_COLOURS)]
        curves = np.stack([_padded(course.best, longest) for course in contender.courses])
        draw(by_count, np.arange(1.0, longest + 1), curves, label, colour)
        costs = np.linspace(0.0, max(c.spent[-1] for c in contender.courses), _N_TIMES)
        draw(by_cost, costs, best_at(contender.courses, costs), label, colour)
    by_count.set(xlabel="evaluations", ylabel=f"best value so far ({comparison.better} is better)")
    is_time = comparison.cost in (None, SECONDS)
    what = "seconds, training and sampler" if is_time else in_figure(str(comparison.cost))
    by_cost.set(xlabel=what)
    by_count.legend(loc="lower right" if comparison.better == "higher" else "upper right")
    for axes in (by_count, by_cost):
        axes.grid(alpha=0.3)
    by_count.set_ylim(*_view(comparison.contenders))
    what = f"median and middle half of {len(comparison.seeds)} seeds"
    figure.suptitle(f"{in_figure(comparison.name)}: {what}")
    save_figure(figure, path)


def _padded(best: Array, n: int) -> Array:
    return np.concatenate([best, np.full(n - len(best), best[-1])])


def _view(contenders: Sequence[Contender]) -> tuple[float, float]:
    """Return the range of all values but those of the first few evaluations."""
    later = [
        c.best[min(_N_UNSHOWN, len(c.best) - 1) :] for each in contenders for c in each.courses
    ]
    values = np.concatenate(later)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin

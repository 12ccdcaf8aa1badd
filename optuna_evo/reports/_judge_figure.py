"""Draw what `judge` measured: every optimizer's test accuracy with its interval."""

from collections.abc import Sequence
import math
from pathlib import Path

import numpy as np

from optuna_evo.evaluation import JudgeRow
from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._figure_text import in_figure


__all__ = ["draw_judgement"]

_JUDGED, _TUNED, _DEFAULT = "#d1672b", "#3b6fb6", "0.6"


def draw_judgement(rows: Sequence[JudgeRow], path: Path, *, title: str) -> None:
    """Write the comparison as a PNG file, the best mean on top.

    Args:
        rows: What `judge` returned, the judged optimizer first.
        path: File to write.
        title: Names task, steps and seeds.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no window

    figure = Figure(figsize=(8, 0.42 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(rows, key=lambda row: row.overall.mean)
    left = _left(rows)
    for height, row in enumerate(ordered):
        mean, half = row.overall.mean, row.overall.half_width
        bar = 0.0 if math.isnan(half) else 100 * half
        x, colour = 100 * mean, _colour(row, rows)
        if x < left:  # far off: an arrow at the edge, or all others would be one point
            x = left
            axes.plot(x, height, marker="<", ms=8, color=colour)
        else:
            axes.errorbar(x, height, xerr=bar, fmt="o", color=colour, capsize=3)
        axes.annotate(
            f"{100 * mean:.1f}",
            (x, height),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(ordered)), [_label(row, rows) for row in ordered])
    xlabel = "test accuracy in %, mean and 95 % interval over seeds"
    axes.set(xlabel=xlabel, title=in_figure(title))
    names = ("judged", "tuned baseline", "baseline as it comes")
    for name, colour in zip(names, (_JUDGED, _TUNED, _DEFAULT), strict=True):
        axes.plot([], [], "o", color=colour, label=name)
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(axis="x", alpha=0.3)
    axes.margins(y=0.08)
    save_figure(figure, path)


def _left(rows: Sequence[JudgeRow]) -> float:
    """Return the least accuracy in % that is drawn where it is.

    Rows more than three interquartile ranges below the quartiles stand at the edge.
    """
    means = [100 * row.overall.mean for row in rows]
    low, high = np.quantile(means, [0.25, 0.75])
    near = [mean for mean in means if mean >= low - 3 * (high - low)]
    widths = [row.overall.half_width for row in rows if 100 * row.overall.mean >= min(near)]
    half = max((100 * w for w in widths if not math.isnan(w)), default=0.0)
    far = min(near) < max(means) and len(near) < len(means)
    return min(near) - half - 0.03 * (max(means) - min(near)) if far else -math.inf


def _colour(row: JudgeRow, rows: Sequence[JudgeRow]) -> str:
    if row is rows[0]:
        return _JUDGED
    return _TUNED if row.setting.startswith("tuned") else _DEFAULT


def _label(row: JudgeRow, rows: Sequence[JudgeRow]) -> str:
    label = row.name if row is rows[0] else f"{row.name}, {row.setting.split(':')[0]}"
    return in_figure(label)

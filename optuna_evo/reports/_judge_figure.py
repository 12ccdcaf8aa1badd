"""Draw what `judge` measured: every optimizer's test accuracy with its interval."""

from collections.abc import Sequence
import math
from pathlib import Path

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
    for height, row in enumerate(ordered):
        mean, half = row.overall.mean, row.overall.half_width
        bar = 0.0 if math.isnan(half) else 100 * half
        axes.errorbar(100 * mean, height, xerr=bar, fmt="o", color=_colour(row, rows), capsize=3)
        axes.annotate(
            f"{100 * mean:.1f}",
            (100 * mean, height),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(ordered)), [_label(row, rows) for row in ordered])
    xlabel = "test accuracy in %, mean and 95 % interval over seeds"
    axes.set(xlabel=xlabel, title=in_figure(title))
    axes.grid(axis="x", alpha=0.3)
    axes.margins(y=0.08)
    save_figure(figure, path)


def _colour(row: JudgeRow, rows: Sequence[JudgeRow]) -> str:
    if row is rows[0]:
        return _JUDGED
    return _TUNED if row.setting.startswith("tuned") else _DEFAULT


def _label(row: JudgeRow, rows: Sequence[JudgeRow]) -> str:
    label = row.name if row is rows[0] else f"{row.name}, {row.setting.split(':')[0]}"
    return in_figure(label)

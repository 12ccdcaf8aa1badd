"""What of a course is shown, and with which baselines beside it."""

from collections.abc import Sequence

import numpy as np

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import JudgeRow


__all__ = ["bands_of", "view_of"]

_ORANGE, _GREEN, _GREY = "#d1672b", "#2c8a57", "#7f8a95"
_FEW = 30  # values, of which all that are not far off are shown


def view_of(values: Sequence[float], better: str = "") -> tuple[float, float, int]:
    """Return the range to show, and how many values lie outside.

    Values more than three interquartile ranges beyond the quartiles (Tukey's far outliers) would
    flatten all others. Where it is known which end is the good one, the worst quarter of many
    values is left out too, and the best is always in.

    Args:
        values: What is drawn; at least one.
        better: "higher", "lower", or nothing.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    reach = 3 * (high - low)
    below, above = low - reach, high + reach
    if len(values) >= _FEW and better == "higher":
        below, above = max(low, below), max(values)
    elif len(values) >= _FEW and better == "lower":
        below, above = min(values), min(high, above)
    inside = [v for v in values if below <= v <= above] or [*values]
    margin = 0.05 * (max(inside) - min(inside)) or 0.01
    return min(inside) - margin, max(inside) + margin, len(values) - len(inside)


def bands_of(rows: Sequence[JudgeRow], task: str) -> list[tuple[JudgeRow, str, str]]:
    """Return what stands as a band beside the trials on a task: row, colour, name.

    It is the judged rule, the best tuned baseline, and the best that was taken as it comes.
    """
    if not rows or task not in rows[0].accuracies:
        return []
    judged, *others = rows
    found = [(judged, _ORANGE, judged.name)]
    for is_tuned, colour in ((True, _GREEN), (False, _GREY)):
        known = [r for r in others if task in r.accuracies]
        known = [r for r in known if r.setting.startswith("tuned") == is_tuned]
        if known:
            best = max(known, key=lambda row: Interval.of(row.accuracies[task]).mean)
            found.append((best, colour, f"{best.name}, {'tuned' if is_tuned else best.setting}"))
    return found

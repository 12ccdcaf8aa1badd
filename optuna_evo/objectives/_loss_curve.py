"""The training losses of a trial, as a few numbers that its picture is drawn from."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

from optuna_evo.attributes import LOSS_CURVE


__all__ = ["loss_curve_record", "points_for"]

# So that a trial takes about a kilobyte more, whatever the number of its trainings.
_MOST_POINTS, _LEAST_POINTS, _ALL_POINTS = 32, 4, 128
_DIGITS = 4


def points_for(n_trainings: int) -> int:
    """Return of how many means the curve of one training is made."""
    return max(_LEAST_POINTS, min(_MOST_POINTS, _ALL_POINTS // max(1, n_trainings)))


def loss_curve_record(
    steps: int, curves: Mapping[str, Sequence[Sequence[float]]]
) -> dict[str, Any]:
    """Return what a trial records of its losses; empty if there are none.

    Args:
        steps: Optimizer steps that the curves are of.
        curves: For each task the means of each training (`Cohort.curves`).
    """
    kept = {
        task: [[_short(loss) for loss in curve] for curve in each if len(curve)]
        for task, each in curves.items()
    }
    kept = {task: each for task, each in kept.items() if each}
    return {LOSS_CURVE.key: {"steps": steps, "losses": kept}} if kept else {}


def _short(loss: float) -> float | None:
    return float(f"{loss:.{_DIGITS}g}") if math.isfinite(loss) else None

"""What one training on one task with one seed is worth, and what is recorded of several."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any


__all__ = ["accuracy_record", "cell_fitness"]


def cell_fitness(accuracy: float, mean_loss: float, loss_weight: float) -> float:
    """Return accuracy + loss_weight * max(0, 1 - mean_loss); NaN if either number is."""
    if math.isnan(accuracy) or math.isnan(mean_loss):
        return math.nan
    return accuracy + loss_weight * max(0.0, 1.0 - mean_loss)


def accuracy_record(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the accuracies by task, and each task's mean, NaN left out."""
    finite = {
        task: [round(a, 6) for a in values if math.isfinite(a)]
        for task, values in accuracies.items()
    }
    means = {f"accuracy_{task}": sum(v) / len(v) for task, v in finite.items() if v}
    return {"accuracies": finite, **means}

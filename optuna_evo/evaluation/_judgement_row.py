"""What was measured of one contestant."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from optuna_evo.config import optimizer_to_dict
from optuna_evo.config import OptimizerConfig
from optuna_evo.evaluation._paired import Cells
from optuna_evo.evaluation._profile import LrSensitivity


__all__ = ["JudgementRow", "Tuned"]


@dataclass(frozen=True)
class Tuned:
    """What tuning came to on one task.

    Args:
        optimizer: The best one, of the first tuning where there are several.
        params: Its parameters.
        curve: The best validation loss after 1, 4, 16, … trials, the mean over tunings.
    """

    optimizer: OptimizerConfig
    params: Mapping[str, Any]
    curve: Mapping[int, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **optimizer_to_dict(self.optimizer),
            "params": dict(self.params),
            "curve": {str(n): loss for n, loss in self.curve.items()},
        }


@dataclass(frozen=True, kw_only=True)
class JudgementRow:
    """A contestant in one table.

    Args:
        key: Its name on the command line.
        label: Its name in tables.
        judged: Whether it is the one that is judged.
        tuned: By task.
        losses: Test losses by (task, seed); the loss without a training where it diverged.
        metrics: Test metrics, alike.
        curves: Validation losses along each training, by (task, seed).
        diverged: The cells that diverged.
        step_seconds: Of a training step, by task.
        state_bytes: For each parameter.
        lr_width: How wide the range of good learning rates is, by task; where it was measured.
    """

    key: str
    label: str
    judged: bool
    tuned: Mapping[str, Tuned]
    losses: Cells
    metrics: Cells
    curves: Mapping[tuple[str, int], Sequence[float]]
    diverged: frozenset[tuple[str, int]]
    step_seconds: Mapping[str, float]
    state_bytes: float
    lr_width: Mapping[str, LrSensitivity] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "key": self.key,
            "label": self.label,
            "judged": self.judged,
            "tuned": {task: each.to_dict() for task, each in self.tuned.items()},
            "losses": _nested(self.losses),
            "metrics": _nested(self.metrics),
            "diverged": [list(cell) for cell in sorted(self.diverged)],
            "step_seconds": dict(self.step_seconds),
            "state_bytes": self.state_bytes,
            "lr_width": {task: each.decades for task, each in self.lr_width.items()},
        }


def _nested(cells: Cells) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (task, seed), value in sorted(cells.items()):
        found.setdefault(task, {})[str(seed)] = value
    return found

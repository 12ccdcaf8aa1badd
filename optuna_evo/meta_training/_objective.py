"""What an inner step is worth: the meta-loss."""

from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._family import Tasks


__all__ = ["MetaLoss"]

_CEILING = 3.0  # times the loss at the beginning: more than that is the same catastrophe
_MOST_LATE = 100.0
_SHIFT = 1e-4  # of logarithms: below it, losses of quadratics would count without end


@dataclass(frozen=True, kw_only=True)
class MetaLoss:
    """The loss of a member after a step, on a batch that it did not train on.

    Args:
        split: "valid", or "train": with few training rows the latter rewards overfitting.
        scale: "log": the logarithm, so that late steps with small losses count as much as early
            ones. "linear": the loss itself.
        late: Step t of a run of K counts in proportion to (t / K)^late; 0: all alike, large: the
            end alone; >= 0.

    Raises:
        UsageError: If a value is not among these.
    """

    split: str = "valid"  # the readers of specs know no Literal
    scale: str = "log"
    late: float = 0.0

    def __post_init__(self) -> None:
        if self.split not in ("valid", "train") or self.scale not in ("log", "linear"):
            raise UsageError(
                "A meta-loss has split valid or train and scale log or linear, got "
                f"split={self.split!r}, scale={self.scale!r}."
            )
        if not 0 <= self.late <= _MOST_LATE:
            raise UsageError(f"`meta_loss.late` must be in 0..{_MOST_LATE:g}, got {self.late}.")

    def of(self, tasks: Tasks, weights: Tensor, batch: Tensor) -> Tensor:
        """Return the loss of each member on its batch, (M,), float64."""
        with torch.no_grad():
            return tasks.loss(weights, batch, self.split).double()  # type: ignore[arg-type]

    def worth(
        self, losses: Tensor, initial: Tensor, step: Tensor, total_steps: Tensor
    ) -> Tensor:
        """Return what losses are worth; a diverged training is worth a finite number.

        Args:
            losses: After a step, (M,).
            initial: At the beginning, (M,).
            step: Steps done, (M,).
            total_steps: Lengths of the runs, (M,).
        """
        most = _CEILING * initial
        kept = torch.minimum(losses.nan_to_num(torch.inf, torch.inf, torch.inf), most)
        worth = (kept + _SHIFT).log() if self.scale == "log" else kept
        if self.late:  # the mean over a run is about 1
            worth = worth * (1 + self.late) * (step / total_steps).clamp(max=1) ** self.late
        return worth

"""What an inner step is worth: the meta-loss."""

from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import Tasks


__all__ = ["MetaLoss"]

_CEILING = 3.0  # times the loss at the beginning: more than that is the same catastrophe
_SHIFT = 1e-4  # of logarithms: below it, losses of quadratics would count without end


@dataclass(frozen=True, kw_only=True)
class MetaLoss:
    """The loss of a member after a step, on a batch that it did not train on.

    Args:
        split: "valid", or "train": with few training rows the latter rewards overfitting.
        scale: "log": the logarithm, so that late steps with small losses count as much as early
            ones. "linear": the loss itself.

    Raises:
        UsageError: If a value is not among these.
    """

    split: SplitName = "valid"
    scale: str = "log"

    def __post_init__(self) -> None:
        if self.split not in ("valid", "train") or self.scale not in ("log", "linear"):
            raise UsageError(
                "A meta-loss has split valid or train and scale log or linear, got "
                f"split={self.split!r}, scale={self.scale!r}."
            )

    def of(self, tasks: Tasks, weights: Tensor, batch: Tensor) -> Tensor:
        """Return the loss of each member on its batch, (M,), float64."""
        with torch.no_grad():
            return tasks.loss(weights, batch, self.split).double()

    def bounded(self, losses: Tensor, initial: Tensor) -> Tensor:
        """Return what losses are worth; a diverged training is worth a finite number.

        Args:
            losses: After a step, (M,).
            initial: At the beginning, (M,).
        """
        most = _CEILING * initial
        kept = torch.minimum(losses.nan_to_num(torch.inf, torch.inf, torch.inf), most)
        return (kept + _SHIFT).log() if self.scale == "log" else kept

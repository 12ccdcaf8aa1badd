"""Augmentation: a task in other units, as in "Celo" (arXiv:2501.12670) and learned_optimization.

A weight w is trained as u = w / s, with a scale s for the whole task, each tensor or each weight;
its logarithm is uniform. The loss as a function of w is the same, but weights and gradients have
other sizes than usual, so a rule cannot rely on those.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.rules import Layout


__all__ = ["Reparametrised"]

_PER = ("task", "tensor", "weight")


class Reparametrised(TaskFamily):
    """Tasks of another family in other units.

    Args:
        family: The family.
        low, high: Range of the scales, 0 < low <= high.
        per: What has a scale of its own: "task", "tensor" or "weight".
        loss: Range of the units of training losses, (low, high): gradients are that many times as
            large, their logarithm uniform; values are told in their own units. None: no change.

    Raises:
        UsageError: If a value is outside its range.

    Example:
        >>> Reparametrised(Quadratics(), low=0.1, high=10.0, per="weight").layout
        [(10,)]
    """

    name = "reparametrised"

    def __init__(
        self,
        family: TaskFamily,
        *,
        low: float = 1e-3,
        high: float = 1e3,
        per: str = "task",
        loss: Sequence[float] | None = None,
    ) -> None:
        if not 0 < low <= high or per not in _PER:
            raise UsageError(
                f"A reparametrisation needs 0 < low <= high and per among {', '.join(_PER)}, got "
                f"{low=}, {high=}, {per=}."
            )
        if loss is not None and (len(loss) != 2 or not 0 < loss[0] <= loss[1]):
            raise UsageError(
                f"`loss` must be two numbers, 0 < low <= high, got {list(loss)}: leave it out for "
                "losses in their own units."
            )
        self._family, self._low, self._high, self._per = family, low, high, per
        self._loss = None if loss is None else (float(loss[0]), float(loss[1]))

    @property
    def layout(self) -> Layout:
        """That of the family."""
        return self._family.layout

    def settings(self) -> dict[str, Any]:
        """Return what it was made of, the family as (name, settings)."""
        return {
            "family": {"name": self._family.name, **self._family.settings()},
            "low": self._low,
            "high": self._high,
            "per": self._per,
            "loss": None if self._loss is None else list(self._loss),
        }

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return a task of the family and its scales."""
        sizes = [math.prod(shape) for shape in self.layout]
        # a stream of its own: the task inside is the one of this seed
        random = generator(seed, _PER.index(self._per) + 1)
        n = {"task": 1, "tensor": len(sizes), "weight": sum(sizes)}[self._per]
        low, high = math.log(self._low), math.log(self._high)
        scales = (low + (high - low) * torch.rand(n, generator=random)).exp()
        if self._per == "tensor":
            scales = scales.repeat_interleave(torch.tensor(sizes))
        arrays = self._family.draw(seed)
        arrays |= {"init": arrays["init"] / scales, "scales": scales}
        if self._loss is not None:
            low, high = (math.log(end) for end in self._loss)
            arrays["unit"] = (low + (high - low) * torch.rand((), generator=random)).exp()
        return arrays

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the loss of the family at the weights in its own units."""
        values = self._family.loss(arrays, weights * arrays["scales"].to(weights), batch, split)
        if "unit" in arrays and split == "train" and batch is not None:
            values = values + (arrays["unit"].to(weights) - 1) * (values - values.detach())
        return values

"""Meta-SGD: the inner learning rates are learned together with the initial weights.

Li, Zhou, Chen, Li, 2017 (arXiv:1707.09835), there one rate a parameter; here also one a tensor.
"""

from collections.abc import Mapping
import math
from typing import Literal

import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._maml import Loss
from optuna_evo.meta_training._maml import MAML


__all__ = ["MetaSGD"]


class MetaSGD(MAML):
    """MAML whose inner learning rates are parameters too, learned in logarithms.

    Args:
        model: As in `MAML`.
        loss: As in `MAML`.
        inner_lr: What all rates start from.
        inner_steps: As in `MAML`.
        first_order: As in `MAML`; the rates have first-order gradients in any case.
        vectorized: As in `MAML`.
        per: One rate for each "tensor", or for each "parameter".

    Raises:
        UsageError: As `MAML`, or if `per` is another word.

    Example:
        >>> from optuna_evo.meta_training import MetaSGD, sinusoids
        >>> model = torch.nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 1))
        >>> learner = MetaSGD(model, nn.functional.mse_loss, inner_lr=0.01)
        >>> learner(sinusoids(25, seed=0)).backward()
        >>> len(learner.log_rates)
        4
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        inner_lr: float = 0.01,
        inner_steps: int = 1,
        first_order: bool = False,
        vectorized: bool = True,
        per: Literal["tensor", "parameter"] = "tensor",
    ) -> None:
        super().__init__(
            model,
            loss,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            first_order=first_order,
            vectorized=vectorized,
        )
        if per not in ("tensor", "parameter"):
            raise UsageError(f"`per` must be 'tensor' or 'parameter', got {per!r}.")
        shapes = [
            p.new_empty(p.shape if per == "parameter" else ()) for p in self._params().values()
        ]
        self.log_rates = nn.ParameterList(
            nn.Parameter(torch.full_like(shape, math.log(inner_lr))) for shape in shapes
        )

    def rates(self) -> Mapping[str, Tensor]:
        """Return the learned rate of each adapted parameter, > 0."""
        return {n: r.exp() for n, r in zip(self._params(), self.log_rates, strict=True)}

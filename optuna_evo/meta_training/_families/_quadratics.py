"""Random quadratics, as in "Learning to learn by gradient descent" (arXiv:1606.04474), section 3.

A task is f(x) = |W x - y|^2 with W and y from N(0, 1); x starts at N(0, 0.01^2). Two settings make
its gradients hard, for controllers with a memory: `noise` adds to each gradient a normal vector of
that size relative to sqrt(2 size) |W x - y|, and with `density` below 1 each of its elements is
seen with that probability only, and is 0 else. Validation and test losses are f itself.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.rules import Layout


__all__ = ["Quadratics"]

_BATCHES = 128  # of noise and masks, then from the first again


class Quadratics(TaskFamily):
    """Quadratics of W and y drawn from N(0, 1).

    Args:
        size: Number of weights, >= 1.
        noise: Size of the noise of gradients, >= 0.
        density: Share of a gradient's elements that a step sees, in (0, 1].

    Raises:
        UsageError: If a value is outside its range.

    Example:
        >>> Quadratics(size=20).sample([0]).init.shape
        torch.Size([1, 20])
    """

    name = "quadratics"

    def __init__(self, *, size: int = 10, noise: float = 0.0, density: float = 1.0) -> None:
        if size < 1 or noise < 0 or not 0 < density <= 1:
            raise UsageError(
                f"Quadratics need size >= 1, noise >= 0 and density in (0, 1], got {size=}, "
                f"{noise=}, {density=}."
            )
        self._size, self._noise, self._density = size, float(noise), float(density)

    @property
    def layout(self) -> Layout:
        """One vector."""
        return [(self._size,)]

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return {"size": self._size, "noise": self._noise, "density": self._density}

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return W, y, the start, and the noise and masks of all batches."""
        random, n = generator(seed), self._size
        arrays = {
            "w": torch.randn(n, n, generator=random),
            "y": torch.randn(n, generator=random),
            "init": torch.randn(n, generator=random) * 0.01,
        }
        if self._noise:
            arrays["noise"] = torch.randn(_BATCHES, n, generator=random) * self._noise
        if self._density < 1:
            seen = torch.rand(_BATCHES, n, generator=random) < self._density
            arrays["seen"] = seen.float()
        return arrays

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return |W x - y|^2; on training batches its gradient is noisy and masked."""
        point, noise = weights, None
        if split == "train" and batch is not None:
            at = (torch.arange(len(weights), device=weights.device), batch % _BATCHES)
            if "seen" in arrays:  # elements not seen have the gradient 0, the value is the same
                seen = arrays["seen"][at].to(weights)
                point = seen * weights + (1 - seen) * weights.detach()
            noise = arrays["noise"][at].to(weights) if "noise" in arrays else None
        rest = torch.bmm(arrays["w"].to(weights), point.unsqueeze(-1)).squeeze(-1)
        values = (rest - arrays["y"].to(weights)).square().sum(-1)
        if noise is not None:
            size = (2 * self._size * values.detach()).sqrt().unsqueeze(-1)
            values = values + (size * noise * (point - point.detach())).sum(-1)
        return values

"""The direction of one optimizer with the step size of another one, tensor by tensor."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


__all__ = ["Grafted"]


class Grafted:
    """Step as far as one optimizer would, in the direction of another one.

    Both see every gradient and keep their own averages, along the way that is gone.

    Args:
        direction: An optimizer of the parameters.
        magnitude: Another one of the same parameters.
        params: The parameters.
    """

    def __init__(self, direction: Any, magnitude: Any, params: Iterable[Tensor]) -> None:
        self._direction, self._magnitude = direction, magnitude
        self._params = list(params)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both."""
        return [*self._magnitude.param_groups, *self._direction.param_groups]

    @property
    def needs_graph(self) -> bool:
        """Whether one of them differentiates its gradients in the step to come."""
        return any(
            getattr(each, "needs_graph", False) for each in (self._direction, self._magnitude)
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._direction.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """Do one step."""
        before = [p.clone() for p in self._params]
        # gradients are differentiated before the weights are written for the first time
        if getattr(self._magnitude, "needs_graph", False):
            other, steps = (
                self._steps(each, before) for each in (self._magnitude, self._direction)
            )
        else:
            steps, other = (
                self._steps(each, before) for each in (self._direction, self._magnitude)
            )
        norms = (torch._foreach_norm(steps), torch._foreach_norm(other))
        for p, step, own, length in zip(self._params, steps, *norms, strict=True):
            # a tensor that the direction leaves alone stays
            p.add_(torch.where(own > 0, step * (length / own), torch.zeros_like(step)))

    def _steps(self, optimizer: Any, before: list[Tensor]) -> list[Tensor]:
        """Return what an optimizer adds to each tensor, and put the tensors back."""
        optimizer.step()
        steps = list(torch._foreach_sub(self._params, before))
        torch._foreach_copy_(self._params, before)
        return steps

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {
            "direction": self._direction.state_dict(),
            "magnitude": self._magnitude.state_dict(),
        }

    def inherit_state(self, state: dict[str, Any]) -> None:
        """Go on from the averages of two others."""
        self._direction.inherit_state(state["direction"])
        self._magnitude.inherit_state(state["magnitude"])

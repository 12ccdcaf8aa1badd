"""The guard for a stack: each member keeps the better of two trainings of its own.

Shape legend: P members of N weights.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import Layout
from optuna_evo.rules import UpdateRule


__all__ = ["StackGuard"]


_Measure = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


class StackGuard:
    """Train a stack by two rules at once; members take over the better weights, one by one.

    As `LossGuard` for P trainings in one update. With a fallback that always wins, the weights
    are the fallback's, bit for bit.

    Args:
        rule: The guarded rule, such as a `ControllerRule`.
        fallback: The safe one.
        weights: Where both begin, (P, N); not kept.
        total_steps: Length of the run.
        layout: As of `StackOptimizer`.
        every: Steps from one choice to the next, >= 1.
        margin: As of `LossGuard`.
        anchored: As of `LossGuard`.
        buffers: What else a training changes, by name, (P, ...) each, such as the statistics of
            batch normalisation: each training has copies of its own, which the functions below
            may write in place.

    Raises:
        UsageError: If `every` or `margin` is out of its range (a ValueError).

    Example:
        >>> guard = StackGuard(rule, ConstantRule(genomes), weights, total_steps=100)
        >>> for step in range(100):
        ...     guard.step(gradients, losses)
        >>> guard.settle(losses)
        >>> guard.weights
    """

    def __init__(
        self,
        rule: UpdateRule,
        fallback: UpdateRule,
        weights: Tensor,
        *,
        total_steps: int | None,
        layout: Layout | None = None,
        every: int = 25,
        margin: float = 0.0,
        anchored: bool = True,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise UsageError(f"`every` must be a number of steps from 1 on, got {every!r:.40}.")
        if not 0 <= margin < 1:
            raise UsageError(f"`margin` must be in [0, 1), got {margin!r:.40}.")
        self.weights, self._other = weights.clone(), weights.clone()
        self.buffers, self._other_buffers = (
            {name: buffer.clone() for name, buffer in (buffers or {}).items()} for _ in range(2)
        )
        self._rule, self._fallback = (
            StackOptimizer(each, weights, total_steps=total_steps, layout=layout)
            for each in (rule, fallback)
        )
        self._every, self._margin, self._anchored = every, margin, anchored
        self._since = 0  # steps since the last choice
        self._safe = self._coefficients()

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of the guarded rule of each member from now on."""
        self._rule.scale_lr(factors)

    def step(self, gradients: _Measure, losses: _Measure) -> None:
        """Do a step of both trainings of each member.

        Args:
            gradients: Of the members' losses on the batches of this step: (weights, buffers) ->
                (P, N); called for both trainings.
            losses: By which the better is chosen, such as on validation rows: (weights, buffers)
                -> (P,).
        """
        self._rule.step(self.weights, gradients(self.weights, self.buffers))
        self._fallback.step(self._other, gradients(self._other, self._other_buffers))
        self._since += 1
        if self._since == self._every:
            self.settle(losses)

    @torch.no_grad()
    def settle(self, losses: _Measure) -> Tensor:
        """Let each member go on from the better of its trainings.

        Returns:
            Whether that is the learned one, (P,); True if no step was done since the last choice.
        """
        if not self._since:
            return torch.ones(len(self.weights), dtype=torch.bool, device=self.weights.device)
        learned, safe = (
            losses(*each).double().nan_to_num(torch.inf, torch.inf, torch.inf)
            for each in ((self.weights, self.buffers), (self._other, self._other_buffers))
        )
        bar = torch.where(safe.isfinite(), safe - self._margin * safe.abs(), safe)
        wins = learned < bar
        averages = self._rule.averages.keys() & self._fallback.averages.keys()
        pairs = [
            (self.weights, self._other),
            *((buffer, self._other_buffers[name]) for name, buffer in self.buffers.items()),
            *((self._rule.averages[name], self._fallback.averages[name]) for name in averages),
        ]
        for ours, theirs in pairs:
            better = torch.where(_rows(wins, ours), ours, theirs)
            ours.copy_(better)
            if not self._anchored:
                theirs.copy_(better)
        self._restore(wins)
        self._safe = self._coefficients()
        self._since = 0
        return wins

    def _coefficients(self) -> Mapping[str, Tensor]:
        """Return a copy of what the rule's coefficients keep of each member, (P, ...)."""
        kept = self._rule.state_dict()["coefficients"].get("state", {})
        return {name: value.clone() for name, value in kept.items()}

    def _restore(self, wins: Tensor) -> None:
        """Put the coefficients of those that lost back to the last choice."""
        if not self._safe:
            return
        state: dict[str, Any] = self._rule.state_dict()
        kept = {
            name: torch.where(_rows(wins, value), value, self._safe[name])
            for name, value in state["coefficients"]["state"].items()
        }
        state["coefficients"] = state["coefficients"] | {"state": kept}
        self._rule.load_state_dict(state)


def _rows(choices: Tensor, like: Tensor) -> Tensor:
    """Return choices (P,) so that they go together with (P, ...)."""
    return choices.view(-1, *[1] * (like.ndim - 1))

"""The optimizer of a stack: P members of N weights, each with its own rule, in one update.

Shape legend: P members, N weights of a member, S steps, n numbers of a step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.optimizers._flat import update_flat
from optuna_evo.rules import Rule
from optuna_evo.rules import step_numbers


__all__ = ["StackOptimizer"]


class StackOptimizer:
    """Train a population by the update rule of each member.

    Args:
        rules: One for each member.
        weights: (P, N); says type and device of the averages, and is not kept.
        total_steps: Length of the run.

    Example:
        >>> weights = torch.zeros(2, 10)
        >>> rules = [catalog["adamw"].rule, catalog["sgd"].rule]
        >>> optimizer = StackOptimizer(rules, weights, total_steps=100)
        >>> for numbers in optimizer.numbers(0, 100):
        ...     optimizer.step(weights, torch.ones(2, 10), numbers)
    """

    def __init__(self, rules: Sequence[Rule], weights: Tensor, *, total_steps: int) -> None:
        self._rules = list(rules)
        self._lr_scales = [1.0] * len(rules)
        self._total_steps = total_steps
        self._device = weights.device
        needs = frozenset[str]().union(*(rule.needs for rule in rules))
        self._averages = {symbol: torch.zeros_like(weights) for symbol in sorted(needs)}

    def numbers(self, first: int, last: int) -> Tensor:
        """Return the numbers of steps `first` to `last` - 1, counted from 0, (S, P, n)."""
        rows = [
            [self._row(rule, scale, step) for rule, scale in zip(*self._members(), strict=True)]
            for step in range(first, last)
        ]
        return torch.tensor(rows, dtype=torch.float64).to(self._device)

    def step(self, weights: Tensor, grads: Tensor, numbers: Tensor) -> None:
        """Update weights in place, (P, N), by the numbers of this step, (P, n)."""
        update_flat(weights, grads, self._averages, numbers)

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        pairs = zip(self._lr_scales, factors, strict=True)
        self._lr_scales = [scale * factor for scale, factor in pairs]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these members of the stack only."""
        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        self._averages = {symbol: average[index] for symbol, average in self._averages.items()}
        self._rules = [self._rules[row] for row in rows]
        self._lr_scales = [self._lr_scales[row] for row in rows]

    def _members(self) -> tuple[list[Rule], list[float]]:
        return self._rules, self._lr_scales

    def _row(self, rule: Rule, lr_scale: float, step: int) -> tuple[float, ...]:
        settings = rule.settings() | {"lr": rule.lr * lr_scale}
        return step_numbers(rule, step + 1, total_steps=self._total_steps, settings=settings)

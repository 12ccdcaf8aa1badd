"""Averages of weights over the end of a run: what an evaluation uses."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import Final

import torch
from torch import Tensor

from optuna_evo.optimizers._buckets import Bucket
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.rules import Rule


__all__ = ["average_tail", "StackTail", "swapped", "TAIL", "without_tail"]

TAIL: Final = "tail_average"
"""The name in the state of a parameter of the average of its weights."""


@torch.no_grad()
def average_tail(rule: Rule, group: Mapping[str, Any], bucket: Bucket) -> None:
    """Take the weights after a step into their averages, if the run is in its tail.

    Args:
        rule: Says how long the tail is.
        group: Its `schedule_step` does not count this step yet. Steps beyond the length of the run
            are averaged, too.
        bucket: Parameters that stepped.
    """
    n = int(group["schedule_step"]) + 1 - rule.tail_start(group["total_steps"])
    if n < 1:
        return
    for p, state in zip(bucket.params, bucket.states, strict=True):
        weights = p.detach().to(average_dtype(p.dtype))
        if TAIL in state:
            state[TAIL].lerp_(weights, 1 / n)
        else:
            state[TAIL] = weights.clone()


@contextlib.contextmanager
def swapped(states: Mapping[Tensor, Mapping[str, Any]]) -> Iterator[None]:
    """Put averages where there are some in the place of weights, and the weights back."""
    with torch.no_grad():
        kept = [(p, p.detach().clone(), s[TAIL]) for p, s in states.items() if TAIL in s]
        for p, _, average in kept:
            p.copy_(average)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, weights, _ in kept:
                p.copy_(weights)


def without_tail(states: Mapping[Any, Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return states without the averages of an optimizer that another one goes on from."""
    return {
        i: {name: value for name, value in state.items() if name != TAIL}
        for i, state in states.items()
    }


class StackTail:
    """The averages of the members of a stack, (P, N).

    Args:
        rules: Of the members.
        total_steps: Length of the run of each.
    """

    def __init__(self, rules: Sequence[Rule], total_steps: Sequence[int | None]) -> None:
        self._starts = [
            rule.tail_start(total) if rule.tail and total is not None else None
            for rule, total in zip(rules, total_steps, strict=True)
        ]
        self._averages: Tensor | None = None

    @torch.no_grad()
    def take(self, weights: Tensor, done: int) -> None:
        """Take in weights (P, N) after so many steps."""
        counts = [0 if start is None else max(0, done - start) for start in self._starts]
        if not any(counts):
            return
        if self._averages is None:
            self._averages = weights.to(average_dtype(weights.dtype), copy=True)
        shares = [1 / n if n else 1.0 for n in counts]
        column = torch.tensor(shares, dtype=self._averages.dtype).unsqueeze(1)
        self._averages.lerp_(weights.to(self._averages.dtype), column.to(weights.device))

    def averaged(self, weights: Tensor) -> Tensor:
        """Return what an evaluation uses, (P, N)."""
        return weights if self._averages is None else self._averages.to(weights.dtype)

    def of(self, row: int, done: int) -> Tensor | None:
        """Return the average of a member (N,) after so many steps, if it is in its tail."""
        start = self._starts[row]
        is_in = start is not None and done > start and self._averages is not None
        return self._averages[row] if is_in and self._averages is not None else None

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these members only."""
        self._starts = [self._starts[row] for row in rows]
        if self._averages is not None:
            self._averages = self._averages[list(rows)]

"""The optimizer of a stack: P members of N weights, each with its own rule, in one update.

Shape legend: P members of T tensors with N weights in all, S steps, n numbers of a step.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import math
from typing import Any
from typing import overload

import torch
from torch import Tensor

from optuna_evo.optimizers._flat import update_flat
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._scale import scale_steps
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DirectedCoefficients
from optuna_evo.rules import Layout
from optuna_evo.rules import Observation
from optuna_evo.rules import UpdateRule


__all__ = ["StackOptimizer"]


class StackOptimizer:
    """Train a population by an update rule.

    Args:
        rule: A `ConstantRule` of the members' genomes, or any other `UpdateRule`.
        weights: (P, N); says number of members, type and device, and is not kept.
        total_steps: Length of the run.
        layout: Shapes of the T tensors of a member, in the order in which they lie in its N
            weights. None: one tensor.
        steps_done: Steps of the run that were done before.

    Example:
        >>> weights = torch.zeros(2, 10)
        >>> rule = ConstantRule([catalog["adamw"].rule, catalog["sgd"].rule])
        >>> optimizer = StackOptimizer(rule, weights, total_steps=100)
        >>> for numbers in optimizer.numbers(0, 100):
        ...     optimizer.step(weights, torch.ones(2, 10), numbers)
    """

    def __init__(
        self,
        rule: UpdateRule,
        weights: Tensor,
        *,
        total_steps: int | None,
        layout: Layout | None = None,
        steps_done: int = 0,
    ) -> None:
        n_members, size = weights.shape
        self._layout = [(size,)] if layout is None else [tuple(shape) for shape in layout]
        self._sizes = [math.prod(shape) for shape in self._layout]
        if sum(self._sizes) != size:
            raise ValueError(
                f"The shapes of `layout` must hold the {size} weights of a member, got "
                f"{self._layout} with {sum(self._sizes)}."
            )
        self._rule = rule
        self._coefficients = rule.start(self._layout, n_members, total_steps, weights.device)
        self._steps_done = steps_done
        self._device = weights.device
        self._lr_scales = [1.0] * n_members
        self._averages = {
            symbol: torch.zeros_like(weights, dtype=average_dtype(weights.dtype))
            for symbol in AVERAGES
            if symbol in rule.needs
        }

    @property
    def observes(self) -> bool:
        """Whether the numbers of a step are known only when it comes."""
        return self._rule.observes

    @property
    def averages(self) -> Mapping[str, Tensor]:
        """The averages (P, N) as they are, by their symbols in `AVERAGES`."""
        return self._averages

    @property
    def lr_scales(self) -> Sequence[float]:
        """What the learning rate of each member is multiplied by."""
        return tuple(self._lr_scales)

    def numbers(self, first: int, last: int) -> Tensor:
        """Return the numbers of steps `first` to `last` - 1, counted from 0, (S, P, 1 or T, n).

        They are those that `step` would find for itself: to have them early spares a device the
        wait for the host. For rules that do not observe.
        """
        rows = [self._coefficients.numbers(step + 1, None) for step in range(first, last)]
        return self._scaled(torch.stack(rows))

    def step(self, weights: Tensor, grads: Tensor, numbers: Tensor | None = None) -> None:
        """Update weights in place, (P, N).

        Args:
            weights: What to train.
            grads: Their gradients.
            numbers: Those of this step, (P, 1 or T, n); None: the rule is asked for them.
        """
        step, directions = self._steps_done + 1, None
        if numbers is None:
            seen = self.observe(weights, grads) if self.observes else None
            if seen is not None and isinstance(self._coefficients, DirectedCoefficients):
                parts = self._coefficients.directions(step, seen)
                directions = torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)
                directions = directions.to(average_dtype(weights.dtype))
            numbers = self._scaled(self._coefficients.numbers(step, seen))
        sizes = self._sizes if numbers.shape[1] > 1 else ()
        update_flat(weights, grads, self._averages, numbers, directions=directions, sizes=sizes)
        self._steps_done = step  # a step that raises is no step

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        pairs = zip(self._lr_scales, factors, strict=True)
        self._lr_scales = [scale * factor for scale, factor in pairs]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these members of the stack only."""
        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        self._averages = {symbol: average[index] for symbol, average in self._averages.items()}
        self._coefficients.select(index)
        self._lr_scales = [self._lr_scales[row] for row in rows]

    def restart(self, rows: Sequence[int], *, total_steps: Sequence[int] | None = None) -> None:
        """Begin the runs of these members anew: their averages are 0, their next step the first.

        For rules whose coefficients can `restart`, as those of a controller.

        Args:
            rows: Numbers of the members.
            total_steps: Length of each of their new runs; None: as it was.
        """
        if rows:
            index = torch.tensor(rows, dtype=torch.long, device=self._device)
            for average in self._averages.values():
                average.index_fill_(0, index, 0)
        self._coefficients.restart(  # type: ignore[attr-defined]
            rows, self._steps_done, total_steps=total_steps
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what another one over the same members goes on from."""
        return {
            "steps_done": self._steps_done,
            "lr_scales": list(self._lr_scales),
            "averages": dict(self._averages),
            "coefficients": self._coefficients.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._steps_done = state["steps_done"]
        self._lr_scales = list(state["lr_scales"])
        self._averages = {symbol: t.clone() for symbol, t in state["averages"].items()}
        self._coefficients.load_state_dict(state["coefficients"])

    def _scaled(self, numbers: Tensor) -> Tensor:
        if all(scale == 1 for scale in self._lr_scales):
            return numbers
        factors = torch.tensor(self._lr_scales, dtype=torch.float64, device=self._device)
        return scale_steps(numbers, factors.unsqueeze(-1))  # (..., P, 1 or T, n)

    def observe(self, weights: Tensor, grads: Tensor) -> Observation:
        """Return what the rule would see before a step, views of what is given, (P, N)."""
        flat = {"params": weights, "grads": grads, **self._averages}
        tensors = {name: _Tensors(buffer, self._layout) for name, buffer in flat.items()}
        return Observation(tensors.pop("params"), tensors.pop("grads"), tensors, flat)


class _Tensors(Sequence[Tensor]):
    """The T tensors (P, *shape) of a buffer (P, N), made when they are looked at."""

    def __init__(self, buffer: Tensor, layout: Layout) -> None:
        self._buffer, self._layout = buffer, layout

    @functools.cached_property
    def _views(self) -> list[Tensor]:
        parts = torch.split(self._buffer, [math.prod(s) for s in self._layout], dim=1)
        return [p.reshape(len(p), *s) for p, s in zip(parts, self._layout, strict=True)]

    def __len__(self) -> int:
        return len(self._layout)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        return self._views[index]

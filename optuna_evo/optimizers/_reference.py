"""The readable update, made of the rows of `optuna_evo.rules`: what every fast path is held to.

Symbols: p parameters, g gradients, averages of them by the symbols of `AVERAGES`, d dense
directions. A rule differs from another by its numbers only (`optuna_evo.rules.step_numbers`). A
direction whose number is 0 contributes nothing, whatever its value: an infinite gradient does not
reach a rule that does not read it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

import torch
from torch import Tensor

from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import NUMBERS


__all__ = ["average_dtype", "Averages", "by_name", "Elements", "reference_update"]

Averages = Mapping[str, list[Tensor]]
"""Averages by their symbols in `AVERAGES`, one for each parameter."""


def average_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type of averages, and of the arithmetic, for parameters of a type.

    It is float32 at least: v * 0.999 rounds back to v in bfloat16, and g * g to 0 in float16.
    """
    return torch.promote_types(dtype, torch.float32)


def by_name(numbers: Sequence[Any]) -> dict[str, Any]:
    """Return the numbers of a step by their names."""
    return dict(zip(NUMBERS, numbers, strict=True))


class Elements:
    """The `Operands` of the rows: a gradient, its averages, the numbers of a step."""

    def __init__(self, g: Tensor, averages: Mapping[str, Tensor], numbers: Mapping[str, Any]):
        self.g = g
        self._numbers = numbers
        self.__dict__.update(averages)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._numbers[name]
        except KeyError:
            raise AttributeError(f"This step has no {name!r}.") from None

    @functools.cached_property
    def rms(self) -> Any:
        """sqrt(v) + eps, v corrected."""
        return self.v.sqrt() * self.rms_scale + self.eps

    @functools.cached_property
    def size(self) -> Any:
        """abs(g) + eps."""
        return self.g.abs() + self.eps


def reference_update(
    params: list[Tensor],
    grads: list[Tensor],
    averages: Averages,
    numbers: Sequence[float],
    directions: list[Tensor] | None = None,
) -> None:
    """Update parameters and averages in place, one tensor after another, as the rows read.

    Args:
        params: Parameters.
        grads: Their gradients; never written.
        averages: Averages of gradients that the rule reads.
        numbers: `step_numbers` of this step.
        directions: Dense directions, if the number of that name is not 0; never written.
    """
    n = by_name(numbers)
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        kept = {symbol: tensors[i] for symbol, tensors in averages.items()}
        x = Elements(g.clamp(-n["clip"], n["clip"]), dict(kept), n)
        for symbol, average in kept.items():
            if not AVERAGES[symbol].after_use:
                average.copy_(AVERAGES[symbol].update(average, x))
        update = torch.zeros_like(p)
        for term, number in zip(DIRECTIONS, numbers, strict=False):
            if number:  # 0 * inf is NaN
                assert term.row.expression is not None
                update += number * term.row.expression(x)
        if n["dense"]:
            assert directions is not None
            update += n["dense"] * directions[i]
        p.mul_(n["decay"]).sub_(update)
        for symbol, average in kept.items():
            if AVERAGES[symbol].after_use:
                average.copy_(AVERAGES[symbol].update(average, x))

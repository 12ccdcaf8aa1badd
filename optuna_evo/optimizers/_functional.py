"""The update as a function that can be differentiated, made of the rows of terms.

Shape legend: P members of T tensors with N weights in all, n numbers of a step.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.optimizers._reference import Elements
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import NUMBERS


__all__ = ["functional_update"]

_SMALLEST = 1e-30  # of v: the derivative of its root is infinite at 0


def functional_update(
    weights: Tensor,
    grads: Tensor,
    averages: Mapping[str, Tensor],
    numbers: Tensor,
    *,
    sizes: Sequence[int],
    terms: Collection[str],
    directions: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return weights and averages after a step; nothing is written in place.

    Args:
        weights: (P, N).
        grads: Gradients, (P, N).
        averages: By their symbols in `AVERAGES`, (P, N) each.
        numbers: `step_numbers`, (P, 1 or T, n).
        sizes: Numbers of elements of the T tensors.
        terms: Names of the directions that may have numbers other than 0, such as "ADAM_TERM".
        directions: Dense directions, (P, N).

    Example:
        >>> weights, averages = functional_update(
        ...     weights, grads, averages, numbers, sizes=[40], terms=["ADAM_TERM"]
        ... )
    """
    n = _ByElement(numbers, sizes, weights)
    after = {symbol: average for symbol, average in averages.items()}
    g = torch.maximum(torch.minimum(grads, n["clip"]), -n["clip"])
    _update(after, g, n, after_use=False)
    if "v" in after:
        after["v"] = after["v"].clamp(min=_SMALLEST)
    x = Elements(g, after, n)
    update = torch.zeros_like(weights)
    for term in DIRECTIONS:
        if term.name in terms:
            assert term.row.expression is not None
            update = update + n[term.name.lower()] * term.row.expression(x)
    if directions is not None:
        update = update + n["dense"] * directions
    moved = weights * n["decay"] - update
    _update(after, g, n, after_use=True)
    return moved, after


def _update(
    averages: dict[str, Tensor], g: Tensor, numbers: Mapping[str, Tensor], *, after_use: bool
) -> None:
    for symbol, average in averages.items():
        if AVERAGES[symbol].after_use == after_use:
            x = Elements(g, averages, numbers)
            averages[symbol] = AVERAGES[symbol].update(average, x)


class _ByElement(Mapping[str, Tensor]):
    """The numbers of a step by their names, one for each element, (P, N), made when asked for."""

    def __init__(self, numbers: Tensor, sizes: Sequence[int], like: Tensor) -> None:
        self._numbers = numbers.to(like.dtype)
        self._index = torch.repeat_interleave(
            torch.arange(len(sizes), device=like.device),
            torch.tensor(sizes, device=like.device),
        )
        self._kept: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in NUMBERS:
            raise KeyError(name)
        if name not in self._kept:
            column = self._numbers[..., NUMBERS.index(name)]  # (P, 1 or T)
            if column.shape[1] > 1:
                column = column.index_select(1, self._index)
            self._kept[name] = column
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NUMBERS)

    def __len__(self) -> int:
        return len(NUMBERS)

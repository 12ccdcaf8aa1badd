"""Whether a fast path has a line for every term of a step."""

from collections.abc import Sequence
import functools
from typing import Final

import torch
from torch import Tensor

from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import NUMBERS


__all__ = ["ALL_TERMS", "lacks"]

ALL_TERMS: Final = frozenset({*(term.name.lower() for term in DIRECTIONS), "dense"})


def lacks(terms: frozenset[str], numbers: Tensor | Sequence[float]) -> bool:
    """Tell whether a step has a term that is not among `terms`: another path must do it.

    Args:
        terms: Names of the terms that a path has, "dense" among them.
        numbers: `step_numbers`; a tensor may hold any rows of them.
    """
    missing = _missing(terms)
    if not missing:  # so it is with the paths of this package: nothing is read from a device
        return False
    if isinstance(numbers, Tensor):
        return bool(torch.any(numbers[..., list(missing)] != 0))
    return any(numbers[i] != 0 for i in missing)


@functools.cache
def _missing(terms: frozenset[str]) -> tuple[int, ...]:
    return tuple(NUMBERS.index(name) for name in sorted(ALL_TERMS - terms))

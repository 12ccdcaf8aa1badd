"""What a controller sees of one member before a step, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import ClassVar
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.rules import Layout


__all__ = ["Answer", "join", "Reading", "split", "State"]

State = dict[str, Tensor]
"""What a controller remembers of one member from step to step."""


@dataclass(frozen=True)
class Reading:
    """What a controller sees of ONE member before a step; members are vmapped outside.

    A controller that `batches` sees all members at once: everything has one more dimension, (P,),
    in front.

    Args:
        layout: Shapes of the T tensors, N elements in all.
        step: Number of the step, counted from 1; 0-d.
        total_steps: Length of the run; 0-d; 0 where it is not known.
        statistics: The `STATISTICS` of each tensor, (T, F), all of the order of 1.
        time: The `TIME`: how far the run is, (7,).
        flat: For controllers whose `sees` is "whole", everything by its name, (N,) each:
            "params", "grads", and the averages by their symbols in `AVERAGES`, as the terms of
            this step use them: updated by its gradients, bias-corrected where the base genome is.
    """

    layout: Layout
    step: Tensor
    total_steps: Tensor
    statistics: Tensor
    time: Tensor
    flat: Mapping[str, Tensor]

    FIELDS: ClassVar = ("step", "total_steps", "statistics", "time", "flat")

    @property
    def params(self) -> list[Tensor]:
        """The T weights in their shapes."""
        return split(self.flat["params"], self.layout)

    @property
    def grads(self) -> list[Tensor]:
        """The T gradients in their shapes, clipped where the base genome clips."""
        return split(self.flat["grads"], self.layout)

    @property
    def averages(self) -> dict[str, list[Tensor]]:
        """The averages in their shapes."""
        own = {"params", "grads"}
        return {s: split(x, self.layout) for s, x in self.flat.items() if s not in own}


class Answer(NamedTuple):
    """What a controller wants of a step: all zeros is the step of its base genome, bit for bit.

    Args:
        log_lr: Added to the logarithm of the learning rate of each tensor, (T,).
        mix: Added to the coefficients of the controller's K `mixes` in each tensor, (T, K).
        direction: A dense direction, (N,), of the order of 1 an element; None: the controller has
            none (`has_direction`). It is multiplied by the learning rate and `share`.
        share: The coefficient of the direction in each tensor, (T,); None: 1.
    """

    log_lr: Tensor
    mix: Tensor
    direction: Tensor | None = None
    share: Tensor | None = None


def split(flat: Tensor, layout: Layout) -> list[Tensor]:
    """Return views (..., *shape) of the T tensors that lie in (..., N) one after another."""
    lead = flat.shape[:-1]
    parts = torch.split(flat, [math.prod(shape) for shape in layout], dim=-1)
    return [part.reshape(*lead, *shape) for part, shape in zip(parts, layout, strict=True)]


def join(tensors: list[Tensor]) -> Tensor:
    """Return the T tensors of one member one after another, (N,): the inverse of `split`."""
    return torch.cat([t.reshape(-1) for t in tensors])

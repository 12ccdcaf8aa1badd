"""A memory of critical gradients, read by attention."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import time_features
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = ["MemoryController", "remember"]

_N_SLOT_FEATURES = 5
_TINY = 1e-30


class MemoryController(Controller):
    """A buffer of the largest gradients of the run, kept while they last (arXiv:2106.10708).

    The buffer holds `memory_size` gradients. A gradient enters with its norm as priority and takes
    the place of the lowest one if that is lower; priorities shrink by `decay` a step, so that no
    gradient stays for ever. What is read of it, divided as Adam divides, is the direction: by
    priority, the mean of the buffer; by attention, a mean whose weights a small perceptron
    computes from the priority, the age and the angles of each gradient to the present one and to
    the momentum. How much of it each tensor takes, its learning rate and its mix are computed from
    its `STATISTICS`.

    Args:
        memory_size: Gradients in the buffer; with 0 the direction is 0.
        decay: Of priorities, in a step; in (0, 1].
        read: "attention" or "priority".
        hidden_size: Units of the hidden layers.
        num_layers: Hidden layers of the perceptron over tensors.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> rule = ControllerRule(MemoryController(memory_size=5))
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    kind = "memory"
    sees = "whole"
    has_direction = True

    def __init__(
        self,
        *,
        memory_size: int = 10,
        decay: float = 0.9,
        read: str = "attention",
        hidden_size: int = 16,
        num_layers: int = 1,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        if memory_size < 0 or not 0 < decay <= 1 or read not in ("attention", "priority"):
            raise ValueError(
                "`memory_size` must not be negative, `decay` in (0, 1] and `read` 'attention' or "
                f"'priority', got {memory_size}, {decay} and {read!r}."
            )
        settings = {
            "memory_size": memory_size,
            "decay": decay,
            "read": read,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        self.needs_total_steps = uses_total_steps
        self.memory_size, self.decay = memory_size, decay
        n_inputs = len(STATISTICS) + (7 if uses_total_steps else 4)
        n_outputs = 1 + len(self.mixes) + (memory_size > 0)
        with seeded(seed):
            self.net = mlp([n_inputs, *[hidden_size] * num_layers, n_outputs])
            attends = read == "attention" and memory_size > 0
            self.scores = mlp([_N_SLOT_FEATURES, hidden_size, 1]) if attends else None

    def start(self, layout: Layout) -> State:
        """Return an empty buffer (C, N), priorities (C,) and ages (C,)."""
        n = sum(math.prod(shape) for shape in layout)
        return {
            "gradients": torch.zeros(self.memory_size, n),
            "priorities": torch.zeros(self.memory_size),
            "ages": torch.zeros(self.memory_size),
        }

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return what the memory adds, and the memory with this gradient offered to it."""
        total = reading.total_steps if self.needs_total_steps else None
        time = time_features(reading.step, total)
        rows = reading.statistics
        out = self.net(torch.cat([rows, time.expand(len(rows), -1)], dim=-1))
        k = 1 + len(self.mixes)
        log_lr, mix = bounded(out[:, 0], 6.0), out[:, 1:k]
        if not self.memory_size:
            nothing = torch.zeros_like(reading.flat["grads"])
            return Answer(log_lr, mix, nothing, torch.zeros_like(log_lr)), state
        g, m, v = (reading.flat[name] for name in ("grads", "m", "v"))
        buffer, priorities, ages = remember(
            g, state["gradients"], state["priorities"], state["ages"], decay=self.decay
        )
        weights = self._weights(g, m, buffer, priorities, ages)  # (C,)
        direction = (weights @ buffer) / (v.sqrt() + self.genome.eps)
        after = {"gradients": buffer, "priorities": priorities, "ages": ages}
        return Answer(log_lr, mix, direction.clamp(-10, 10), out[:, k]), after

    def _weights(
        self, g: Tensor, m: Tensor, buffer: Tensor, priorities: Tensor, ages: Tensor
    ) -> Tensor:
        used = priorities > 0
        if self.scores is None:
            return used.to(priorities) / used.sum().clamp(min=1).to(priorities)
        norms = (buffer.square().sum(-1) + _TINY).sqrt()
        largest = priorities.max().clamp(min=_TINY)
        slots = torch.stack(
            [
                (priorities / largest + _TINY).log().clamp(min=-8) / 4,
                ages.log1p() / 3,
                (buffer @ g) / (norms * (g.square().sum() + _TINY).sqrt()),
                (buffer @ m) / (norms * (m.square().sum() + _TINY).sqrt()),
                (norms / ((g.square().sum() + _TINY).sqrt())).log().clamp(-4, 4) / 2,
            ],
            dim=-1,
        )
        scores = self.scores(slots).squeeze(-1)
        weights = (scores + torch.where(used, 0.0, -1e9).to(scores)).softmax(dim=0)
        return torch.where(used, weights, 0.0)


def remember(
    g: Tensor, gradients: Tensor, priorities: Tensor, ages: Tensor, *, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return buffer, priorities and ages after a gradient was offered to them.

    Args:
        g: The gradient, (N,).
        gradients: The buffer, (C, N), zeros where nothing is yet.
        priorities: Norms at entry times `decay` to the power of the steps since, (C,); 0: free.
        ages: Steps since entry, (C,).
        decay: Of priorities, in a step.
    """
    priorities, ages = priorities * decay, ages + (priorities > 0)
    norm = g.square().sum().sqrt()
    lowest = torch.arange(len(priorities), device=g.device) == priorities.argmin()
    enters = lowest & (norm > priorities)
    return (
        torch.where(enters.unsqueeze(-1), g, gradients),
        torch.where(enters, norm, priorities),
        torch.where(enters, 0.0, ages),
    )

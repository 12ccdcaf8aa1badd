"""A multi-layer perceptron that sees each tensor's statistics and the time."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import Dense
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._controller import zero_
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import N_TIME_WITHOUT_LENGTH
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME
from optuna_evo.rules import Genome


__all__ = ["bounded", "mlp", "MLPController"]


class MLPController(Controller):
    """A small perceptron, the same for all tensors: a learning rate and a mix for each.

    Its inputs are the `STATISTICS` of a tensor and the time.

    Args:
        hidden_size: Units of a hidden layer.
        num_layers: Hidden layers.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Example:
        >>> rule = ControllerRule(MLPController(hidden_size=8))
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    kind = "mlp"
    batches = True

    def __init__(
        self,
        *,
        hidden_size: int = 16,
        num_layers: int = 2,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        settings = {
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        self.needs_total_steps = uses_total_steps
        n_inputs = len(STATISTICS) + (len(TIME) if uses_total_steps else N_TIME_WITHOUT_LENGTH)
        with seeded(seed):
            self.net = mlp([n_inputs, *[hidden_size] * num_layers, 1 + len(self.mixes)])

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return a learning rate and a mix for each tensor."""
        rows, time = reading.statistics, reading.time
        if not self.needs_total_steps:
            time = time[..., :N_TIME_WITHOUT_LENGTH]
        time = time.unsqueeze(-2).expand(*rows.shape[:-1], time.shape[-1])
        out = self.net(torch.cat([rows, time], dim=-1))
        return Answer(log_lr=bounded(out[..., 0], 6.0), mix=out[..., 1:]), state


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return layers of these sizes with tanh between them; the last one is 0."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [Dense(n_in, n_out)]
        layers += [nn.Tanh()] if i < len(sizes) - 2 else []
    zero_(layers[-1])
    return nn.Sequential(*layers)


def bounded(x: Tensor, bound: float) -> Tensor:
    """Return x where it is small, and never more than a bound."""
    return bound * torch.tanh(x / bound)

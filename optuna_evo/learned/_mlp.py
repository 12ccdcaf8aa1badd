"""A multi-layer perceptron, over the statistics of tensors or the features of parameters."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import Final

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._chunked import direction_of_features
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import Dense
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._controller import zero_
from optuna_evo.learned._features import N_FEATURES
from optuna_evo.learned._features import over_tensors
from optuna_evo.learned._features import start_features
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import N_TIME_WITHOUT_LENGTH
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = [
    "bounded",
    "check_sizes",
    "evened",
    "mlp",
    "MLPController",
    "own_activation",
    "with_time",
]

ACTIVATIONS: Final = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


class MLPController(Controller):
    """A small perceptron over tensors or parameters.

    Over tensors, its inputs are the `STATISTICS` of a tensor and the time, its outputs the
    learning rate and the mix. Over parameters, its inputs are 30 features of each, as Celo2 has
    them, its output is a direction, which is added to the base; learning rate and mix are then
    numbers that are learned once for matrices and once for other tensors.

    Args:
        per_parameter: Whether it sees each parameter.
        hidden_size: Units of a hidden layer; None: 16 over tensors, 8 over parameters.
        num_layers: Hidden layers.
        activation: "tanh", "relu" or "silu".
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`. Over
            parameters it never does.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Raises:
        ValueError: If a size is out of range.

    Example:
        >>> rule = ControllerRule(MLPController(hidden_size=8))
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    kind = "mlp"
    batches = True

    def __init__(
        self,
        *,
        per_parameter: bool = False,
        hidden_size: int | None = None,
        num_layers: int = 2,
        activation: str = "tanh",
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        hidden_size = (8 if per_parameter else 16) if hidden_size is None else hidden_size
        check_sizes({"hidden_size": hidden_size, "num_layers": num_layers})
        settings = {
            "per_parameter": per_parameter,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
            **own_activation(activation),
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        hidden = [hidden_size] * num_layers
        if per_parameter:
            self.sees, self.has_direction = "whole", True
            self.fixed = nn.Parameter(torch.zeros(2, 1 + len(self.mixes)))
            n_inputs, n_outputs = N_FEATURES, 1
        else:
            self.needs_total_steps = uses_total_steps
            n_time = len(TIME) if uses_total_steps else N_TIME_WITHOUT_LENGTH
            n_inputs, n_outputs = len(STATISTICS) + n_time, 1 + len(self.mixes)
        with seeded(seed):
            self.net = mlp([n_inputs, *hidden, n_outputs], activation)

    def start(self, layout: Layout) -> State:
        """Return the averages that features are made of, where it sees parameters."""
        return start_features(layout) if self.has_direction else {}

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return a learning rate and a mix for each tensor, and perhaps a direction."""
        if not self.has_direction:
            out = self.net(with_time(reading, self.needs_total_steps))
            return Answer(log_lr=bounded(out[..., 0], 6.0), mix=out[..., 1:]), state
        direction, after = direction_of_features(self.net, reading, state)
        direction = evened(direction, reading.layout)
        is_matrix = [float(len(shape) > 1) for shape in reading.layout]
        rows = torch.stack([self.fixed[..., int(kind), :] for kind in is_matrix], dim=-2)
        rows = rows.expand(*reading.statistics.shape[:-1], rows.shape[-1])
        return Answer(bounded(rows[..., 0], 6.0), rows[..., 1:], direction), after


def with_time(reading: Reading, uses_total_steps: bool) -> Tensor:
    """Return the statistics of each tensor and the time beside them, (..., T, inputs)."""
    rows, time = reading.statistics, reading.time
    if not uses_total_steps:
        time = time[..., :N_TIME_WITHOUT_LENGTH]
    time = time.unsqueeze(-2).expand(*rows.shape[:-1], time.shape[-1])
    return torch.cat([rows, time], dim=-1)


def evened(direction: Tensor, layout: Layout) -> Tensor:
    """Return a direction (..., N) of root mean square below 1 in each tensor; small ones stay."""
    size = (1 + over_tensors(direction * direction, layout)).rsqrt()
    parts = torch.split(direction, [math.prod(shape) for shape in layout], dim=-1)
    scaled = [part * size[..., t, None] for t, part in enumerate(parts)]
    return torch.cat(scaled, dim=-1)


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise a ValueError for sizes of a network that are none."""
    for name, size in sizes.items():
        most = 64 if name.startswith("num") else 4096
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= most:
            raise ValueError(
                f"`{name}` must be a whole number from 1 to {most}, got {size!r:.40}."
            )


def own_activation(name: str) -> dict[str, str]:
    """Return the activation as settings; the usual one, which older ones have, is not named.

    Raises:
        ValueError: If there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {name!r:.40}."
        )
    return {} if name == "tanh" else {"activation": name}


def mlp(sizes: Sequence[int], activation: str = "tanh") -> nn.Sequential:
    """Return layers of these sizes with an activation between them; the last one is 0."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [Dense(n_in, n_out)]
        layers += [ACTIVATIONS[activation]()] if i < len(sizes) - 2 else []
    zero_(layers[-1])
    return nn.Sequential(*layers)


def bounded(x: Tensor, bound: float) -> Tensor:
    """Return x where it is small, and never more than a bound."""
    return bound * torch.tanh(x / bound)

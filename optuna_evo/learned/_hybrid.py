"""A learned mix of learned and traditional: the base, its directions, and a learned direction."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.learned._chunked import direction_of_features
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._features import N_FEATURES
from optuna_evo.learned._features import over_tensors
from optuna_evo.learned._features import start_features
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import check_sizes
from optuna_evo.learned._mlp import evened
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._mlp import with_time
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import N_TIME_WITHOUT_LENGTH
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = ["HybridController"]

_TRUST_DECAY = 0.9
_TINY = 1e-30


class HybridController(Controller):
    """Directions of the catalog and a learned one, weighted tensor by tensor as they prove good.

    One perceptron sees each parameter (30 features) and makes a direction. Another one sees each
    tensor (`STATISTICS`, the time) and how well the learned direction and the momentum of the step
    before agree with the gradient of this one, averaged over steps; it gives the learning rate,
    the mix, and the weight of the learned direction, which is 1 where it says 0.

    Args:
        hidden_size: Units of a hidden layer of the perceptron over tensors.
        num_layers: Its hidden layers.
        direction_size: Units of the two hidden layers of the perceptron over parameters.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last ones, which are 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Raises:
        ValueError: If a size is out of range.

    Example:
        >>> optimizer = LearnedOptimizer(params, HybridController(), total_steps=100)
    """

    kind = "hybrid"
    sees = "whole"
    has_direction = True
    batches = True

    def __init__(
        self,
        *,
        hidden_size: int = 16,
        num_layers: int = 2,
        direction_size: int = 8,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        sizes = {
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "direction_size": direction_size,
        }
        check_sizes(sizes)
        settings = {**sizes, "uses_total_steps": uses_total_steps, "seed": seed}
        super().__init__(settings, genome=genome, mixes=mixes)
        self.needs_total_steps = uses_total_steps
        n_inputs = len(STATISTICS) + (len(TIME) if uses_total_steps else N_TIME_WITHOUT_LENGTH) + 2
        with seeded(seed):
            self.tensor_net = mlp([n_inputs, *[hidden_size] * num_layers, 2 + len(self.mixes)])
            self.direction_net = mlp([N_FEATURES, direction_size, direction_size, 1])

    def start(self, layout: Layout) -> State:
        """Return averages of 0, and no trust in anything yet."""
        state = start_features(layout)
        nothing = torch.zeros_like(state["squares"])
        trust = torch.zeros(len(layout), 2)
        return {**state, "learned": nothing, "traditional": nothing.clone(), "trust": trust}

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return learning rate, mix, the learned direction and its weight."""
        direction, after = direction_of_features(self.direction_net, reading, state)
        direction = evened(direction, reading.layout)
        trust = torch.lerp(state["trust"], _agreement(reading, state), 1 - _TRUST_DECAY)
        inputs = torch.cat([with_time(reading, self.needs_total_steps), trust], dim=-1)
        out = self.tensor_net(inputs)
        # what is learned starts as nothing: its weight can be 1
        share = torch.exp(bounded(out[..., 1], 3.0))
        answer = Answer(bounded(out[..., 0], 6.0), out[..., 2:], direction, share)
        momentum = reading.flat["m"]
        return answer, {**after, "learned": direction, "traditional": momentum, "trust": trust}


def _agreement(reading: Reading, state: State) -> Tensor:
    """Return cosines of this gradient and the directions of the step before, (..., T, 2)."""
    g, layout = reading.flat["grads"], reading.layout
    gg = over_tensors(g * g, layout)
    columns = []
    for name in ("learned", "traditional"):
        d = state[name]
        size = (gg * over_tensors(d * d, layout) + _TINY).rsqrt()
        columns.append(over_tensors(g * d, layout) * size)
    return torch.stack(columns, dim=-1)

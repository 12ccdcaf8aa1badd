"""A graph network whose nodes are neurons and whose edges are weights."""

from collections.abc import Mapping
from collections.abc import Sequence
import copy
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._neurons import NeuronGraph
from optuna_evo.learned._neurons import Place
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import join
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import time_features
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = ["GraphController"]

_F = 4  # features of an edge: g, m, Adam's step, w
_TINY = 1e-16


class GraphController(Controller):
    """Messages between neurons along weights; a direction for each weight, a mix for each tensor.

    A node is a neuron; it begins with the sizes of gradients, momenta, Adam's steps and weights
    that come in and go out. In each round it hears from the neurons before and after it, weighted
    by the weights and by the gradients between them. The direction of a weight is computed from
    its own features and those of its two neurons. Permuting hidden neurons permutes what is
    answered.

    Args:
        hidden_size: Numbers of a node, and units of the hidden layers.
        num_rounds: Rounds of messages.
        sends: Whether messages are sent; without, the same weights see each neuron alone.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Raises:
        ValueError: If a size is out of range.

    Example:
        >>> controller = GraphController().for_module(model)
        >>> rule = ControllerRule(controller)
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    kind = "graph"
    sees = "whole"
    has_direction = True

    def __init__(
        self,
        *,
        hidden_size: int = 8,
        num_rounds: int = 1,
        sends: bool = True,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        if hidden_size < 1 or num_rounds < 1:
            raise ValueError(
                "`hidden_size` and `num_rounds` must be positive, got "
                f"{hidden_size} and {num_rounds}."
            )
        settings = {
            "hidden_size": hidden_size,
            "num_rounds": num_rounds,
            "sends": sends,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        self.needs_total_steps = uses_total_steps
        self.sends = sends
        self._graph: NeuronGraph | None = None
        n_time = 7 if uses_total_steps else 4
        n_rows = len(STATISTICS) + n_time
        with seeded(seed):
            self.embed = nn.Linear(3 * _F, hidden_size)
            self.rounds = nn.ModuleList(
                nn.Linear(5 * hidden_size, hidden_size) for _ in range(num_rounds)
            )
            # the first layer of an edge, in parts: what is the same along a row is computed once
            self.of_edge = nn.Linear(_F, hidden_size)
            self.of_out = nn.Linear(hidden_size, hidden_size, bias=False)
            self.of_into = nn.Linear(hidden_size, hidden_size, bias=False)
            self.of_time = nn.Linear(n_time, hidden_size, bias=False)
            self.edge_head = mlp([hidden_size, 1])
            self.tensor_net = mlp([n_rows + hidden_size, 2 * hidden_size, 2 + len(self.mixes)])

    def for_module(self, module: nn.Module) -> "GraphController":
        """Return the same controller for the neurons of a module, weights shared.

        Without, layers are taken to stand one after another: see `NeuronGraph.of_layout`.
        """
        bound = copy.copy(self)
        bound._graph = NeuronGraph.of_module(module)
        return bound

    def start(self, layout: Layout) -> State:
        """Return no state.

        Raises:
            UsageError: If the controller is for a module whose tensors these are not.
        """
        if self._graph is not None and not self._graph.fits(layout):
            raise UsageError(
                "The graph controller was made for a module with other tensors: give the "
                "optimizer all parameters of that module that need gradients, in their order."
            )
        return {}

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return a direction for each weight, a learning rate and a mix for each tensor."""
        graph = self._graph or NeuronGraph.of_layout(reading.layout)
        total = reading.total_steps if self.needs_total_steps else None
        time = time_features(reading.step, total)
        edges = [
            _features(reading, t, place)  # (O, I, K, F)
            for t, place in enumerate(graph.places)
        ]
        nodes = self._nodes(graph, edges)
        if self.sends:
            links = [_links(edge, place) for edge, place in zip(edges, graph.places, strict=True)]
        for layer in self.rounds:
            heard = (
                _messages(graph, nodes, links)
                if self.sends
                else [h.new_zeros(len(h), 4 * h.shape[-1]) for h in nodes]
            )
            nodes = [
                h + torch.tanh(layer(torch.cat([h, x], dim=-1)))
                for h, x in zip(nodes, heard, strict=True)
            ]
        directions, rows = [], []
        for edge, place, statistics in zip(edges, graph.places, reading.statistics, strict=True):
            x = self.of_edge(edge) + self.of_out(nodes[place.out])[:, None, None]
            if place.into is not None:
                x = x + self.of_into(nodes[place.into])[None, :, None]
            x = torch.tanh(x + self.of_time(time))
            directions.append(self.edge_head(x).squeeze(-1).reshape(-1))
            rows.append(torch.cat([statistics, time, nodes[place.out].mean(dim=0)]))
        out = self.tensor_net(torch.stack(rows))
        k = 1 + len(self.mixes)
        answer = Answer(
            log_lr=bounded(out[:, 0], 6.0),
            mix=out[:, 1:k],
            direction=join(directions),
            share=1 + out[:, k],
        )
        return answer, state

    def _nodes(self, graph: NeuronGraph, edges: Sequence[Tensor]) -> list[Tensor]:
        """Return what neurons are like before messages, (size, hidden) for each group."""
        parts = [[edges[0].new_zeros(n, _F) for _ in range(3)] for n in graph.sizes]
        for edge, place in zip(edges, graph.places, strict=True):
            sizes = edge.square()
            if place.into is None:
                parts[place.out][2] = parts[place.out][2] + edge.mean(dim=(1, 2))
            else:
                parts[place.out][0] = parts[place.out][0] + sizes.mean(dim=(1, 2))
                parts[place.into][1] = parts[place.into][1] + sizes.mean(dim=(0, 2))
        return [
            torch.tanh(self.embed(torch.cat([_log(own[0]), _log(own[1]), own[2]], dim=-1)))
            for own in parts
        ]


def _log(sizes: Tensor) -> Tensor:
    """Return mean squares, 0 where there are none, as numbers of the order of 1."""
    return (sizes + 0.01).log() / 4


def _features(reading: Reading, t: int, place: Place) -> Tensor:
    """Return gradient, momentum, Adam's step and weight of each element, scaled, (O, I, K, F)."""
    averages = reading.averages
    g, m, v, w = (
        x[t].reshape(place.shape)
        for x in (reading.grads, averages["m"], averages["v"], reading.params)
    )
    step = m / (v.sqrt() + 1e-12)
    scaled = [x * (x.square().mean() + _TINY).rsqrt() for x in (g, m, w)]
    columns = torch.stack([scaled[0], scaled[1], step, scaled[2]], dim=-1)
    return bounded(columns, 5.0)


def _links(edge: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Return how weights and the sizes of gradients connect neurons, (O, I) each."""
    n_out, n_in, _ = place.shape
    scale = (n_out * n_in) ** -0.25
    return edge[..., 3].mean(dim=2) * scale, edge[..., 0].abs().mean(dim=2) * scale**2


def _messages(
    graph: NeuronGraph, nodes: Sequence[Tensor], links: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Return what neurons hear from before and after them, (size, 4 * hidden) for each group."""
    heard = [[torch.zeros_like(h) for _ in range(4)] for h in nodes]
    for place, (weights, sizes) in zip(graph.places, links, strict=True):
        if place.into is None:
            continue
        before, after = nodes[place.into], nodes[place.out]
        for i, (link, h) in enumerate(
            ((weights, before), (sizes, before), (weights.T, after), (sizes.T, after))
        ):
            group = place.out if i < 2 else place.into
            heard[group][i] = heard[group][i] + link @ h
    return [torch.cat(parts, dim=-1) for parts in heard]

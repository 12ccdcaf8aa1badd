"""Which neurons a module has, and which weights connect them.

A weight matrix connects the neurons before a layer with those after it; a bias, or a scale of a
normalisation, belongs to neurons. Who comes before whom is read off the module by `torch.fx`, so
branches and additions are seen; where it cannot trace, off the order in which layers stand.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import logging
import math
from typing import Any

import torch
from torch import nn

from optuna_evo.rules import Layout


__all__ = ["NeuronGraph", "Place"]

_LINEAR = (nn.Linear,)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Place:
    """Where a tensor stands: element (o, i, k) belongs to neuron o of a group and i of another.

    Args:
        shape: (O, I, K), the tensor as the graph sees it: K are elements of a kernel, or pixels
            of a channel that were laid in a row.
        out: Number of the group of its O neurons.
        into: Number of the group of its I neurons, which the layer reads; None for biases, scales
            and what cannot be seen, where I and K are one.
    """

    shape: tuple[int, int, int]
    out: int
    into: int | None = None


@dataclass(frozen=True)
class NeuronGraph:
    """The neurons of a model in groups, and the place of each of T tensors among them.

    Args:
        sizes: Numbers of neurons in the groups.
        places: One for each tensor.

    Example:
        >>> NeuronGraph.of_layout([(8, 4), (8,), (2, 8), (2,)]).sizes
        (4, 8, 2)
    """

    sizes: tuple[int, ...]
    places: tuple[Place, ...]

    @classmethod
    def of_module(cls, module: nn.Module) -> "NeuronGraph":
        """Return the graph of a module's parameters that need gradients, in their order.

        What is neither a linear layer, a convolution without groups, an embedding nor a
        normalisation is said once in the log, and counts as neurons without connections.
        """
        builder = _Builder()
        layers = {n: m for n, m in module.named_modules() if _own(m)}
        order = _order(module, layers)
        unseen = set()
        owners: dict[int, Place] = {}
        outputs: dict[str, int] = {}
        for name, sources in order.items():
            layer, own = layers[name], _own(layers[name])
            before = builder.joined([outputs[source] for source in sources if source in outputs])
            places, out = builder.layer(layer, before)
            if places is None:
                unseen.add(type(layer).__name__)
                places, out = {n: builder.alone(p.shape) for n, p in own.items()}, None
            owners |= {id(own[n]): place for n, place in places.items()}
            if out is not None:
                outputs[name] = out
        if unseen:
            logging.getLogger(__name__).warning(
                "The graph controller sees no connections in %s: their weights count as neurons "
                "by themselves.",
                ", ".join(sorted(unseen)),
            )
        trained = [p for p in module.parameters() if p.requires_grad]
        return builder.graph([owners[id(p)] for p in trained])

    @classmethod
    def of_layout(cls, layout: Layout) -> "NeuronGraph":
        """Return the graph of layers one after another, guessed from the shapes of their tensors.

        A tensor of two or more dimensions reads the neurons before it if their number divides the
        length of its second dimension; a vector as long as the neurons before it is theirs.
        """
        builder = _Builder()
        places: list[Place] = []
        previous: int | None = None
        for shape in layout:
            if len(shape) >= 2:
                place = builder.matrix(tuple(shape), previous)
                previous = place.out
            elif len(shape) == 1 and previous is not None and builder.sizes[previous] == shape[0]:
                place = Place((shape[0], 1, 1), previous)
            else:
                place = builder.alone(shape)
            places.append(place)
        return builder.graph(places)

    def fits(self, layout: Layout) -> bool:
        """Tell whether tensors have the shapes that this graph is of."""
        counts = [math.prod(shape) for shape in layout]
        return counts == [math.prod(place.shape) for place in self.places]


class _Builder:
    """Makes groups of neurons and places of tensors."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._same: dict[int, int] = {}  # a group -> the one that it was joined to

    def graph(self, places: Sequence[Place]) -> NeuronGraph:
        """Return the graph, joined groups being one."""
        found = [
            replace(p, out=self._one(p.out), into=None if p.into is None else self._one(p.into))
            for p in places
        ]
        used = sorted({g for p in found for g in (p.out, p.into) if g is not None})
        at = {group: i for i, group in enumerate(used)}
        moved = [
            replace(p, out=at[p.out], into=None if p.into is None else at[p.into]) for p in found
        ]
        return NeuronGraph(tuple(self.sizes[group] for group in used), tuple(moved))

    def joined(self, groups: Sequence[int]) -> int | None:
        """Return one group for several whose outputs are added up; None for none."""
        if not groups:
            return None
        first = self._one(groups[0])
        for group in map(self._one, groups[1:]):
            if group != first and self.sizes[group] == self.sizes[first]:
                self._same[group] = first
        return first

    def _one(self, group: int) -> int:
        while group in self._same:
            group = self._same[group]
        return group

    def group(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def alone(self, shape: Sequence[int]) -> Place:
        """Return the place of a tensor without connections: a neuron for each first index."""
        first = shape[0] if len(shape) else 1
        rest = math.prod(shape[1:])
        return Place((first, 1, rest), self.group(first))

    def matrix(self, shape: Sequence[int], before: int | None) -> Place:
        """Return the place of weights (O, I, *kernel) that read a group or inputs of their own."""
        n_out, n_in, kernel = shape[0], shape[1], math.prod(shape[2:])
        if before is None or n_in % self.sizes[before]:
            before = self.group(n_in)
        each = n_in // self.sizes[before]  # pixels of a channel
        return Place((n_out, self.sizes[before], each * kernel), self.group(n_out), before)

    def layer(
        self, layer: nn.Module, before: int | None
    ) -> tuple[dict[str, Place] | None, int | None]:
        """Return the places of a layer's parameters, None if it is unknown, and what it yields."""
        own = _own(layer)
        plain = isinstance(layer, _CONVOLUTIONS) and layer.groups == 1
        if isinstance(layer, _LINEAR) or plain:
            place = self.matrix(own["weight"].shape, before)
            bias = Place((place.shape[0], 1, 1), place.out)
            return {n: place if n == "weight" else bias for n in own}, place.out
        if isinstance(layer, nn.Embedding):  # (words, dimensions): it yields its dimensions
            out = self.group(own["weight"].shape[1])
            words = self.group(own["weight"].shape[0])
            n_words, n_out = own["weight"].shape
            return {"weight": Place((n_words, n_out, 1), words, out)}, out
        if isinstance(layer, _NORMS) and before is not None:
            if all(tuple(p.shape) == (self.sizes[before],) for p in own.values()):
                return {n: Place((self.sizes[before], 1, 1), before) for n in own}, before
        return None, before


def _own(layer: nn.Module) -> dict[str, nn.Parameter]:
    return dict(layer.named_parameters(recurse=False))


def _order(module: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """Return layers with parameters in the order in which they run, with those that they read."""
    try:
        traced = torch.fx.symbolic_trace(module)
    except Exception:  # control flow by values, among many other reasons
        names = [*layers]
        return {name: names[max(0, i - 1) : i] for i, name in enumerate(names)}
    latest: dict[Any, list[str]] = {}  # node -> the last layers with parameters that it reads
    order: dict[str, list[str]] = {}
    for node in traced.graph.nodes:
        read = [name for source in node.all_input_nodes for name in latest.get(source, [])]
        target = str(node.target)
        if node.op == "call_module" and target in layers:
            order.setdefault(target, read)
            latest[node] = [target]
        else:
            latest[node] = [*dict.fromkeys(read)]
    return order | {name: [] for name in layers if name not in order}

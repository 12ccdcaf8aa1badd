"""The weights and buffers of many models of one architecture, side by side.

Shape legend: P members, N weights of a model.
"""

from collections.abc import Mapping
import math

import torch
from torch import nn
from torch import Tensor


__all__ = ["Stack"]


class Stack:
    """P copies of a model as one buffer of weights (P, N) and stacked buffers.

    Weights of convolutions are laid out channels last, so that stacking them along the output
    channels is a view.

    Args:
        model: The model; all members start from its weights.
        n_members: P.
    """

    def __init__(self, model: nn.Module, n_members: int) -> None:
        named = [(name, p.detach()) for name, p in model.named_parameters()]
        self._shapes = {name: p.shape for name, p in named}
        self._dtypes = {p.dtype for _, p in named}
        if len(self._dtypes) > 1:
            raise ValueError(f"A stack needs weights of one type, got {self._dtypes}.")
        # a tied parameter has several names in a state dict, and stands here once
        own = (*model.named_parameters(), *model.named_buffers())
        first_names = {id(tensor): name for name, tensor in own}
        self._names = {
            name: first_names[id(tensor)]
            for name, tensor in model.state_dict(keep_vars=True).items()
        }
        flat = torch.cat([_stored(p).flatten() for _, p in named])
        self.weights = flat.repeat(n_members, 1)  # (P, N)
        self.buffers = {
            name: torch.stack([buffer] * n_members) for name, buffer in model.named_buffers()
        }

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def layout(self) -> list[tuple[int, ...]]:
        """The shapes of the tensors of a member, as they lie in its weights."""
        return [_as_stored(tuple(shape)) for shape in self._shapes.values()]

    def parameters(self, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Return views (P, *shape) of the weights by name, ready to be differentiated by.

        Args:
            flat: Others, (P, N), in their place.
        """
        views = self._views(self.weights if flat is None else flat)
        return {name: view.requires_grad_() for name, view in views.items()}

    def flatten(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return gradients (P, *shape) by name as one tensor (P, N), laid out as the weights."""
        flat = torch.empty_like(self.weights)
        for name, view in self._views(flat).items():
            view.copy_(gradients[name])
        return flat

    def select(self, index: Tensor) -> None:
        """Drop all members but those of these numbers (n,), which get this order."""
        self.weights = self.weights[index]
        self.buffers = {name: buffer[index] for name, buffer in self.buffers.items()}

    def load(self, row: int, model: nn.Module) -> None:
        """Give a member the weights and buffers of a model."""
        self.write(self.weights, row, {name: p.detach() for name, p in model.named_parameters()})
        for name, buffer in model.named_buffers():
            self.buffers[name][row] = buffer

    def write(self, flat: Tensor, row: int, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors of the weights' names and shapes to a row of a buffer (P, N)."""
        for name, view in self._views(flat).items():
            view[row] = tensors[name]

    def read(self, flat: Tensor, row: int) -> dict[str, Tensor]:
        """Return a row of a buffer (P, N) as tensors of the weights' names and shapes: views."""
        return {name: view[row] for name, view in self._views(flat).items()}

    def state_dict(self, row: int, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Return the weights and buffers of a member, named as the model's `state_dict`: views.

        Args:
            row: Which member.
            flat: Weights (P, N) in the place of the stack's.
        """
        tensors = self._views(self.weights if flat is None else flat) | self.buffers
        return {name: tensors[first][row] for name, first in self._names.items()}

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        views, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + math.prod(shape)
            part = flat[:, start:stop]
            if len(shape) == 4:
                o, i, h, w = shape
                views[name] = part.view(-1, o, h, w, i).permute(0, 1, 4, 2, 3)
            else:
                views[name] = part.view(-1, *shape)
            start = stop
        return views


def _stored(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight


def _as_stored(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape

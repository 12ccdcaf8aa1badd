"""Families on scikit-learn's handwritten digits: small MLPs and small CNNs; no files, no network.

A task's seed draws the permutation of pixels (MLPs only), the permutation of labels, the contrast,
the scale of the initial weights, the weights, and the order of rows. Of the 1,797 images, 1,077
are trained on, 360 are for validation (the meta-loss) and 360 for tests: no seed changes which.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import math
from typing import Any
from typing import Final

import torch
from torch import Tensor
import torch.nn.functional as F

from optuna_evo import tasks
from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._classification import batches
from optuna_evo.meta_training._families._classification import cross_entropies
from optuna_evo.meta_training._families._classification import initial_weights
from optuna_evo.meta_training._families._classification import log_uniform
from optuna_evo.meta_training._families._classification import rows_of
from optuna_evo.meta_training._families._classification import tensors
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.rules import Layout


__all__ = ["DigitsCNN", "DigitsMLP"]

_SPANS: Final = {"train": slice(0, 1077), "valid": slice(1077, 1437), "test": slice(1437, 1797)}
_BATCHES = 128  # batches of a task, then from the first again
_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


@functools.cache
def _images() -> tuple[Tensor, Tensor]:
    """Return the pixels (1797, 64) in 0..1 and the labels, rows in the order of `_SPANS`."""
    digits = tasks.get("digits")
    splits, test = digits.load(None), digits.load_test(None)
    parts = (splits.train, splits.valid, test)
    return torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts])


def _check(activation: str, batch_size: int, widths: Sequence[int]) -> None:
    if activation not in _ACTIVATIONS:
        raise UsageError(
            f"`activation` must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}."
        )
    if not 1 <= batch_size <= 360:
        raise UsageError(f"`batch_size` must be in 1..360, got {batch_size}.")
    if not widths or min(widths) < 1:
        raise UsageError(f"Widths must be at least 1, got {list(widths)}.")


def _drawn(
    layout: Layout, batch_size: int, random: torch.Generator, *, permuted: bool
) -> dict[str, Tensor]:
    """Return the arrays of one task."""
    pixels, labels = _images()
    if permuted:
        pixels = pixels[:, torch.randperm(64, generator=random)]
    n_train = _SPANS["train"].stop
    return {
        "x": pixels * log_uniform(0.5, 2.0, random),
        "y": torch.randperm(10, generator=random)[labels],
        "init": initial_weights([*layout], random) * log_uniform(0.5, 2.0, random),
        "train": batches(n_train, batch_size, _BATCHES, random),
        "valid": batches(360, batch_size, _BATCHES, random),
    }


class DigitsMLP(TaskFamily):
    """MLPs on the digits.

    Args:
        width: Neurons of a hidden layer, >= 1.
        depth: Hidden layers, >= 1.
        activation: "relu" or "tanh".
        batch_size: Rows of a batch, 1..360.
        zero_head: Whether the weights of the last layer begin at 0.

    Raises:
        UsageError: If a value is outside its range.

    Example:
        >>> DigitsMLP(width=16).layout
        [(16, 64), (16,), (10, 16), (10,)]
    """

    name = "digits_mlp"

    def __init__(
        self,
        *,
        width: int = 32,
        depth: int = 1,
        activation: str = "relu",
        batch_size: int = 64,
        zero_head: bool = False,
    ) -> None:
        _check(activation, batch_size, [width])
        if depth < 1:
            raise UsageError(f"`depth` must be at least 1, got {depth}.")
        self._width, self._depth = width, depth
        self._activation, self._batch_size = activation, batch_size
        self._zero_head = bool(zero_head)
        sizes = [64, *[width] * depth, 10]
        pairs = zip(sizes[1:], sizes[:-1], strict=True)
        self._layout = [s for n_out, n_in in pairs for s in ((n_out, n_in), (n_out,))]

    @property
    def layout(self) -> Layout:
        """Weights (out, in) and bias of each layer, as in `nn.Linear`."""
        return self._layout

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return {
            "width": self._width,
            "depth": self._depth,
            "activation": self._activation,
            "batch_size": self._batch_size,
            "zero_head": self._zero_head,
        }

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return one task."""
        arrays = _drawn(self.layout, self._batch_size, generator(seed), permuted=True)
        if self._zero_head:
            n_head = sum(math.prod(shape) for shape in self._layout[-2:])
            arrays["init"][-n_head:] = 0
        return arrays

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the mean cross-entropy of each member."""
        x, y = rows_of(arrays, batch, split, _SPANS)
        hidden = x.to(weights)
        parts = tensors(weights, self._layout)
        activation = _ACTIVATIONS[self._activation]
        for i in range(0, len(parts), 2):
            matrix, bias = parts[i], parts[i + 1]
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, matrix.mT)
            if i + 2 < len(parts):
                hidden = activation(hidden)
        return cross_entropies(hidden, y)


class DigitsCNN(TaskFamily):
    """CNNs on the digits: two convolutions of 3 x 3 with pooling, then a linear layer.

    A stack is one grouped convolution, a group a member.

    Args:
        channels: Channels of both convolutions, each >= 1.
        activation: "relu" or "tanh".
        batch_size: Rows of a batch, 1..360.

    Raises:
        UsageError: If a value is outside its range.

    Example:
        >>> DigitsCNN(channels=[4, 8]).layout[0]
        (4, 1, 3, 3)
    """

    name = "digits_cnn"

    def __init__(
        self,
        *,
        channels: Sequence[int] = (8, 16),
        activation: str = "relu",
        batch_size: int = 64,
    ) -> None:
        _check(activation, batch_size, channels)
        if len(channels) != 2:
            raise UsageError(f"`channels` must be two numbers, got {list(channels)}.")
        self._channels = tuple(channels)
        self._activation, self._batch_size = activation, batch_size

    @property
    def layout(self) -> Layout:
        """Kernel and bias of both convolutions, weights and bias of the last layer."""
        a, b = self._channels
        return [(a, 1, 3, 3), (a,), (b, a, 3, 3), (b,), (10, 4 * b), (10,)]

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return {
            "channels": list(self._channels),
            "activation": self._activation,
            "batch_size": self._batch_size,
        }

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return one task; its pixels stay in their places."""
        return _drawn(self.layout, self._batch_size, generator(seed), permuted=False)

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the mean cross-entropy of each member."""
        x, y = rows_of(arrays, batch, split, _SPANS)
        n = len(weights)
        parts = tensors(weights, [*self.layout])
        images = x.to(weights).view(n, -1, 8, 8).transpose(0, 1)  # (B, M channels, 8, 8)
        for kernel, bias in (parts[0:2], parts[2:4]):
            images = F.conv2d(images, kernel.flatten(0, 1), bias.reshape(-1), padding=1, groups=n)
            images = F.max_pool2d(_ACTIVATIONS[self._activation](images), 2)
        features = images.view(len(images), n, -1).transpose(0, 1)  # (M, B, 4 b)
        return cross_entropies(torch.baddbmm(parts[5].unsqueeze(1), features, parts[4].mT), y)

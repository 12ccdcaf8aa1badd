"""What a controller knows of a tensor: a row of numbers from a fixed sample of its elements.

A sample makes the cost of a controller independent of the size of the model. Its elements lie a
fixed stride apart that shares no factor with the length of a row, so they meet all columns.

Shape legend: P members, T tensors, S sampled elements, F statistics.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math

import torch
from torch import Tensor

from optuna_evo.rules import Layout
from optuna_evo.rules import Observation


__all__ = ["Sample", "static_statistics", "STATISTICS", "statistics", "time_features"]

STATISTICS = (
    "size of the gradient",  # logarithms of root mean squares
    "size of the weights",
    "size of the gradient, to its average size",
    "size of the momentum, to the average size of gradients",
    "size of Adam's step",
    "cosine of gradient and momentum",
    "cosine of gradient and weights",
    "cosine of momentum and weights",
    "number of elements",  # from here on the same in all steps
    "fan-in",
    "is a vector",
    "is a matrix",
    "place among the tensors",
)
_TINY = 1e-30


class Sample:
    """Which elements of the T tensors of a member are looked at.

    Args:
        layout: Shapes of the tensors.
        size: Most elements of a tensor.
        device: Where the tensors are.
    """

    def __init__(self, layout: Layout, size: int, device: torch.device) -> None:
        lengths = [math.prod(shape) for shape in layout]
        self.counts = [min(size, length) for length in lengths]
        self._strides = [
            _stride(length, shape, count)
            for length, shape, count in zip(lengths, layout, self.counts, strict=True)
        ]
        self.width = max([1, *self.counts])
        index = torch.zeros(len(lengths), self.width, dtype=torch.long)
        present = torch.zeros(len(lengths), self.width)
        start = 0
        for t, length in enumerate(lengths):
            count = self.counts[t]
            index[t, :count] = start + self._strides[t] * torch.arange(count)
            present[t, :count] = 1
            start += length
        self._index, self._present = index.flatten().to(device), present.to(device)
        self._is_full = all(count == self.width for count in self.counts)
        self.inverse = 1 / torch.tensor(self.counts).clamp(min=1).to(device)  # (T,)

    def flat(self, buffer: Tensor) -> Tensor:
        """Return the sample of a buffer (P, N): (P, T, S), 0 where a tensor has fewer elements."""
        found = buffer.index_select(1, self._index).view(-1, *self._present.shape).float()
        return found if self._is_full else found * self._present

    def lists(self, columns: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the samples of C lists of T tensors (P, *shape): (C, P, T, S)."""
        n_members = len(columns[0][0])
        out = columns[0][0].new_zeros(
            len(columns), n_members, len(self.counts), self.width, dtype=torch.float32
        )
        to, found = [], []
        for c, column in enumerate(columns):
            for t, tensor in enumerate(column):
                count, stride = self.counts[t], self._strides[t]
                flat = tensor.reshape(n_members, -1)
                found.append(flat[:, : (count - 1) * stride + 1 : stride])
                to.append(out[c, :, t, :count])
        torch._foreach_copy_(to, found)
        return out


def _stride(length: int, shape: Sequence[int], count: int) -> int:
    if count == 0:
        return 1
    stride = max(1, length // count)
    row = shape[-1] if shape else 1
    while stride > 1 and math.gcd(stride, row) > 1:
        stride -= 1
    return stride


def static_statistics(layout: Layout) -> Tensor:
    """Return the statistics that are the same in all steps, (T, 5)."""
    rows = []
    for t, shape in enumerate(layout):
        length = max(1, math.prod(shape))
        fan_in = max(1, math.prod(shape[1:])) if len(shape) > 1 else 1
        place = t / max(1, len(layout) - 1)
        rows.append(
            (
                math.log10(length) / 3 - 1,
                math.log10(fan_in) / 2 - 0.5,
                float(len(shape) < 2),
                float(len(shape) == 2),
                2 * place - 1,
            )
        )
    return torch.tensor(rows)


def statistics(
    samples: Mapping[str, Tensor], inverse: Tensor, eps: Tensor | float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the statistics that change, (P, T, 8), and what directions are divided by.

    Args:
        samples: "grads", "params", and the averages "m" and "v", corrected, (P, T, S) each.
        inverse: One over the numbers of sampled elements, (T,).
        eps: What Adam's denominator adds.
    """
    three = torch.stack([samples["grads"], samples["params"], samples["m"]], dim=-2)
    gram = three @ three.transpose(-1, -2)  # (P, T, 3, 3)
    v = samples["v"]
    ratio = samples["m"] / (v.sqrt() + eps)
    mean_v, mean_ratio = v.sum(-1) * inverse, ratio.square().sum(-1) * inverse
    gg, pp, mm = gram[..., 0, 0], gram[..., 1, 1], gram[..., 2, 2]
    log_g, log_p, log_m = ((x * inverse + _TINY).log() / 2 for x in (gg, pp, mm))
    log_v = (mean_v + _TINY).log() / 2
    columns = [
        (log_g + 5) / 3,
        (log_p + 2.5) / 2,
        (log_g - log_v).clamp(-8, 4) / 2,
        (log_m - log_v).clamp(-8, 4) / 2,
        mean_ratio.clamp(max=16).sqrt(),
        gram[..., 0, 2] * (gg * mm + _TINY).rsqrt(),
        gram[..., 0, 1] * (gg * pp + _TINY).rsqrt(),
        gram[..., 1, 2] * (mm * pp + _TINY).rsqrt(),
    ]
    table = torch.stack(columns, dim=-1).nan_to_num(0.0, 10.0, -10.0).clamp(-10, 10)
    return table, {"g": (gg * inverse).sqrt(), "m": (mm * inverse).sqrt()}


def time_features(step: Tensor, total_steps: Tensor | None) -> Tensor:
    """Return how far a run is, (4,) or with its length (7,), all in [-1, 1] or so.

    Args:
        step: Number of the step, counted from 1; 0-d.
        total_steps: Length of the run; None: features of it are left out.
    """
    scales = [torch.tanh(step / scale - 1) for scale in (3, 30, 300, 3000)]
    if total_steps is not None:
        done = (step - 1) / total_steps.clamp(min=1)
        left = (total_steps - step + 1).clamp(min=1)
        scales += [2 * done.clamp(max=2) - 1, total_steps.clamp(min=1).log10() / 2 - 1]
        scales += [left.log10() / 2 - 1]
    return torch.stack(scales)


def observed(seen: Observation) -> list[str]:
    """Return the names of what can be sampled of an observation."""
    return ["grads", "params", *seen.averages]

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
import torch.nn.functional as F

from optuna_evo.rules import Layout


__all__ = [
    "N_TIME_WITHOUT_LENGTH",
    "Sample",
    "static_statistics",
    "STATISTICS",
    "statistics",
    "TIME",
    "time_features",
]

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
TIME = (
    "after 3 steps",
    "after 30 steps",
    "after 300 steps",
    "after 3000 steps",
    "share done",  # this and what follows say nothing where the length of a run is not known
    "length",
    "steps left",
)
N_TIME_WITHOUT_LENGTH = 4
_TINY = 1e-30


class Sample:
    """Which elements of the T tensors of a member are looked at, and the place they are put in.

    Args:
        layout: Shapes of the tensors.
        size: Most elements of a tensor.
        device: Where the tensors are.
    """

    def __init__(self, layout: Layout, size: int, device: torch.device) -> None:
        lengths = [math.prod(shape) for shape in layout]
        self._counts = [min(size, length) for length in lengths]
        self._strides = [
            _stride(length, shape, count)
            for length, shape, count in zip(lengths, layout, self._counts, strict=True)
        ]
        starts = [sum(lengths[:t]) for t in range(len(lengths))]
        self._spans = list(zip(starts, self._counts, self._strides, strict=True))
        self._place = torch.zeros(0, device=device)
        self._slots: list[Tensor] = []
        self.inverse = 1 / torch.tensor(self._counts).clamp(min=1).to(device)  # (T,)

    def take(self, columns: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the samples of C lists of T tensors (P, *shape): (C, P, T, S).

        Rows of a tensor with fewer elements end with 0. What is returned is overwritten by the
        next call, unless it can be differentiated.
        """
        found = []
        for column in columns:
            for t, (count, stride) in enumerate(zip(self._counts, self._strides, strict=True)):
                flat = column[t].reshape(len(column[t]), -1)
                found.append(flat[:, : (count - 1) * stride + 1 : stride] if count else flat)
        return self._put(found, len(columns))

    def take_flat(self, buffers: Sequence[Tensor]) -> Tensor:
        """Return the samples of C buffers (P, N), as `take` does."""
        found = []
        for buffer in buffers:
            flat = buffer.contiguous()
            (n_members, size), first = flat.shape, flat.storage_offset()
            for start, count, stride in self._spans:
                found.append(flat.as_strided((n_members, count), (size, stride), first + start))
        return self._put(found, len(buffers))

    def _put(self, found: list[Tensor], n_columns: int) -> Tensor:
        shape = (n_columns, len(found[0]), len(self._counts), max([1, *self._counts]))
        if torch.is_grad_enabled() and any(part.requires_grad for part in found):
            wide = [F.pad(part, (0, shape[-1] - part.shape[1])) for part in found]
            return torch.stack(wide).view(shape[0], shape[2], shape[1], shape[3]).transpose(1, 2)
        if self._place.shape != shape:
            self._place = self._place.new_zeros(shape)
            self._slots = [
                column[:, t, :count]
                for column in self._place
                for t, count in enumerate(self._counts)
            ]
        torch._foreach_copy_(self._slots, found)
        return self._place


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
    sample: Tensor, inverse: Tensor, shares: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the statistics that change, (P, T, 8), and root mean squares (P, T) of "g" and "m".

    They are of the averages as the terms of this step use them.

    Args:
        sample: Gradients, weights, and the averages m and v of the step before, (4, P, T, S).
        inverse: One over the numbers of sampled elements, (T,).
        shares: The numbers "m_share", "v_decay", "v_share", "rms_scale" of the step and
            "correction_m", (P,) each.
    """
    n = {name: value.to(sample.dtype)[:, None] for name, value in shares.items()}  # (P, 1)
    g, _, m, v = sample
    rows = sample[:3].flatten(1, 2).transpose(0, 1)  # (P * T, 3, S)
    gram = torch.bmm(rows, rows.transpose(1, 2)).view(*g.shape[:2], 3, 3) * inverse[:, None, None]
    gg, pp, gp = gram[..., 0, 0], gram[..., 1, 1], gram[..., 0, 1]
    gm, pm, mm = gram[..., 0, 2], gram[..., 1, 2], gram[..., 2, 2]
    new, old = n["m_share"] * n["correction_m"], (1 - n["m_share"]) * n["correction_m"]
    mm = new * new * gg + 2 * new * old * gm + old * old * mm
    gm, pm = new * gg + old * gm, new * gp + old * pm
    scale = n["rms_scale"].square()
    vv = scale * (n["v_decay"] * v.sum(-1) * inverse + n["v_share"] * gg)
    wide = {name: value.unsqueeze(-1) for name, value in n.items()}
    squares = wide["v_decay"] * v + wide["v_share"] * g.square() + _TINY
    ratio = (m.lerp(g, wide["m_share"]).square() / squares).sum(-1) * inverse
    logs = (torch.stack([gg, pp, vv, mm]) + _TINY).log() / 2
    log_g, log_p, log_v, log_m = logs
    columns = [
        (log_g + 5) / 3,
        (log_p + 2.5) / 2,
        (log_g - log_v).clamp(-8, 4) / 2,
        (log_m - log_v).clamp(-8, 4) / 2,
        (ratio * n["correction_m"].square() / scale).clamp(max=16).sqrt(),
        gm * (gg * mm + _TINY).rsqrt(),
        gp * (gg * pp + _TINY).rsqrt(),
        pm * (mm * pp + _TINY).rsqrt(),
    ]
    table = torch.stack(columns, dim=-1).nan_to_num(0.0, 10.0, -10.0).clamp(-10, 10)
    return table, {"g": gg.sqrt(), "m": mm.sqrt()}


def time_features(step: Tensor, total_steps: Tensor | None) -> Tensor:
    """Return the `TIME` at a step, (..., 7), all in [-1, 1] or so.

    Args:
        step: Number of the step, counted from 1; (...).
        total_steps: Length of the run, (...); 0: not known, and features of it say nothing. None:
            they are left out, (..., 4).
    """
    scales = [torch.tanh(step / scale - 1) for scale in (3, 30, 300, 3000)]
    if total_steps is None:
        return torch.stack(scales, dim=-1)
    total = total_steps.clamp(min=1)
    done = 2 * ((step - 1) / total).clamp(max=2) - 1
    left = (total - step + 1).clamp(min=1)
    return torch.stack([*scales, done, total.log10() / 2 - 1, left.log10() / 2 - 1], dim=-1)

"""The compiled kernel over a stack: its table is computed, no tensor of a member is ever made.

Shape legend: P members of T tensors with N weights in all.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools

import numpy as np
import torch
from torch import Tensor

from optuna_evo.optimizers import _native
from optuna_evo.optimizers._columns import COLUMNS
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.rules import AVERAGES


__all__ = ["fused_stack", "is_stack"]


def is_stack(buffers: Mapping[str, Tensor], numbers: Tensor) -> bool:
    """Tell whether buffers by their names ("p", "g", averages, "d") are whole stacks (P, N)."""
    params = buffers["p"]
    wide = average_dtype(params.dtype)
    return (
        params.ndim == 2
        and numbers.ndim == 3
        and len(numbers) == len(params)
        and all(
            buffer.is_contiguous()
            and buffer.shape == params.shape
            and buffer.dtype is (params.dtype if name in ("p", "g") else wide)
            for name, buffer in buffers.items()
        )
    )


def fused_stack(
    params: Tensor,
    grads: Tensor,
    averages: Mapping[str, Tensor],
    numbers: Tensor,
    sizes: Sequence[int],
    directions: Tensor | None,
) -> None:
    """Update a stack in place, as `fused_update` does with its tensors.

    Args:
        params: (P, N), as all buffers are; contiguous.
        grads: Gradients; never written.
        averages: By their symbols.
        numbers: (P, T, n), float64.
        sizes: Numbers of elements of the T tensors.
        directions: Dense directions, if there are some.
    """
    buffers = {"params": params, "grads": grads}
    buffers |= {AVERAGES[symbol].state: average for symbol, average in averages.items()}
    if directions is not None:
        buffers["directions"] = directions
    places, lengths = _places(len(params), tuple(sizes))
    nothing = np.zeros_like(places)
    columns = [
        buffers[name].data_ptr() + buffers[name].element_size() * places
        if name in buffers
        else nothing
        for name in COLUMNS[:-1]
    ]
    table = np.concatenate([*columns, lengths])
    rows = numbers.reshape(-1, numbers.shape[-1])
    if params.is_cuda:
        from optuna_evo.optimizers._triton import launch

        with torch.cuda.device(params.device):
            launch(params.dtype, table.tolist(), rows, params.device)
    else:
        _native.launch(params.dtype, table, rows)
    torch.autograd.graph.increment_version([params])


@functools.lru_cache(maxsize=64)
def _places(n_members: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return where each tensor of each member begins, and its length, (P * T,) each."""
    starts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    members = np.arange(n_members, dtype=np.int64) * sum(sizes)
    places = (members[:, None] + starts).ravel()
    return places, np.tile(np.array(sizes, dtype=np.int64), n_members)

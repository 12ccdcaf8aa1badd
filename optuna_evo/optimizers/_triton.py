"""The step as one compiled pass on a GPU: what `_kernel.cpp` does, in Triton.

One launch serves all tensors of a dtype: blocks find theirs in a table of addresses. Triton
compiles a kernel for each dtype and each set of averages that exist, never for a rule: numbers are
data. A CUDA graph cannot capture that a table is sent: for one, each tensor has its own launch.

In the kernels, `tensors` is (parameter, gradient, exp_avg, exp_avg_sq), addresses of first
elements; `numbers` points to the numbers of the rule, in the order of `NUMBERS` in _update.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
import triton
import triton.language as tl


__all__ = ["launch", "TYPES"]

TYPES = {
    torch.float32: (tl.float32, tl.float32),
    torch.float64: (tl.float64, tl.float64),
    torch.bfloat16: (tl.bfloat16, tl.float32),
    torch.float16: (tl.float16, tl.float32),
}
_BLOCK = 2048  # elements of a program
_ALIGNMENT = 16  # bytes that a thread loads at once


class Kind(NamedTuple):
    """What a kernel is compiled for."""

    param: tl.dtype
    real: tl.dtype  # of averages and arithmetic
    has_m: bool
    has_v: bool
    aligned: bool


def launch(
    dtype: torch.dtype, table: Sequence[int], numbers: Tensor, *, one_by_one: bool = False
) -> None:
    """Do one step over tensors given by their addresses (see `_native.launch`).

    Args:
        dtype: Type of parameters and gradients; averages are float32 for types of 16 bits.
        table: As there.
        numbers: As there, float64, on the GPU.
        one_by_one: Whether each tensor has its own launch, and no table is sent.
    """
    n = len(table) // 5
    sizes = table[4 * n :]
    aligned = all(address % _ALIGNMENT == 0 for address in table[: 4 * n])
    kind = Kind(*TYPES[dtype], table[2 * n] != 0, table[3 * n] != 0, aligned)
    stride = numbers.shape[-1] if numbers.ndim == 2 else 0
    blocks = [triton.cdiv(size, _BLOCK) for size in sizes]
    if one_by_one:
        for t in range(n):
            row = numbers[t] if stride else numbers
            if sizes[t]:
                _step_one[(blocks[t],)](*table[t::n], row, kind, _BLOCK)
    elif sum(blocks):
        starts = [sum(blocks[:t]) for t in range(n)]
        there = torch.tensor([*table, *starts], dtype=torch.int64).to(numbers.device)
        _step_all[(sum(blocks),)](there, n, numbers, stride, kind, _BLOCK)


@triton.jit(do_not_specialize=["n", "stride"])
def _step_all(table, n, numbers, stride, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """Step the block that this program is for, of the tensor that it belongs to."""
    block = tl.program_id(0)
    starts = table + 5 * n
    tensor, beyond = n * 0, n
    while beyond - tensor > 1:  # to the last tensor that starts no later than this block
        middle = (tensor + beyond) // 2
        later = tl.load(starts + middle) > block
        tensor, beyond = tl.where(later, tensor, middle), tl.where(later, middle, beyond)
    at = table + tensor
    tensors = (tl.load(at), tl.load(at + n), tl.load(at + 2 * n), tl.load(at + 3 * n))
    size, block = tl.load(at + 4 * n), block - tl.load(starts + tensor)
    _step_block(tensors, size, numbers + tensor * stride, block, KIND, BLOCK)


@triton.jit(do_not_specialize=["param", "grad", "exp_avg", "exp_avg_sq", "size"])
def _step_one(
    param, grad, exp_avg, exp_avg_sq, size, numbers, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    """Step the block that this program is for, of the only tensor."""
    tensors = (param, grad, exp_avg, exp_avg_sq)
    _step_block(tensors, size, numbers, tl.program_id(0), KIND, BLOCK)


@triton.jit
def _step_block(tensors, size, numbers, block, KIND: tl.constexpr, BLOCK: tl.constexpr):
    start = block.to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    if start + BLOCK <= size:  # loads that no mask cuts short are wide
        _step_elements(tensors, numbers, at, tl.full((BLOCK,), True, tl.int1), KIND)
    else:
        _step_elements(tensors, numbers, at, at < size, KIND)


@triton.jit
def _step_elements(tensors, numbers, at, inside, KIND: tl.constexpr):
    real: tl.constexpr = KIND.real
    p_at = _pointer(tensors[0], KIND.param, KIND.aligned) + at
    g_at = _pointer(tensors[1], KIND.param, KIND.aligned) + at
    g = tl.load(g_at, mask=inside, other=0.0).to(real)
    clip = tl.load(numbers + 13).to(real)
    g = tl.where(g > clip, clip, g)  # NaN stays NaN
    g = tl.where(g < -clip, -clip, g)
    sign = (g > 0).to(real) - (g < 0).to(real)
    step = _share(numbers, 0, g) + _share(numbers, 4, sign)
    over_abs = _share(numbers, 5, g)
    over_rms = _share(numbers, 2, g)
    if KIND.has_m:
        m_at = _pointer(tensors[2], real, KIND.aligned) + at
        m = tl.load(m_at, mask=inside, other=0.0)
        m += tl.load(numbers + 8).to(real) * (g - m)
        tl.store(m_at, m, mask=inside)
        step += _share(numbers, 1, m)
        over_abs += _share(numbers, 6, m)
        over_rms += _share(numbers, 3, m)
    eps = tl.load(numbers + 12).to(real)
    if KIND.has_v:
        v_at = _pointer(tensors[3], real, KIND.aligned) + at
        v = tl.load(v_at, mask=inside, other=0.0)
        v = tl.load(numbers + 9).to(real) * v + tl.load(numbers + 10).to(real) * g * g
        tl.store(v_at, v, mask=inside)
        rms = tl.load(numbers + 11).to(real) * tl.sqrt(v) + eps
        step += tl.where(_reads(numbers, 2, 3), over_rms / rms, 0.0)
    step += tl.where(_reads(numbers, 5, 6), over_abs / (tl.abs(g) + eps), 0.0)
    p = tl.load(p_at, mask=inside, other=0.0).to(real)
    p = tl.load(numbers + 7).to(real) * p - step
    tl.store(p_at, p.to(KIND.param), mask=inside)


@triton.jit
def _pointer(address, TYPE: tl.constexpr, ALIGNED: tl.constexpr):
    pointer = address.to(tl.int64).to(tl.pointer_type(TYPE))
    return tl.multiple_of(pointer, 16) if ALIGNED else pointer


@triton.jit
def _share(numbers, number: tl.constexpr, direction):
    """Return number * direction; a number of 0 is nothing even times inf."""
    k = tl.load(numbers + number).to(direction.dtype)
    return tl.where(k == 0, 0.0, k * direction)


@triton.jit
def _reads(numbers, first: tl.constexpr, second: tl.constexpr):
    """Tell whether the rule reads one of two directions."""
    return (tl.load(numbers + first) != 0) | (tl.load(numbers + second) != 0)

"""The step as one compiled pass on a GPU: what `_kernel.cpp` does, in Triton.

One launch serves all tensors of a dtype: blocks find theirs in a table of addresses. Triton
compiles a kernel for each dtype and each set of averages that exist, never for a rule: numbers are
data. A CUDA graph cannot capture that a table is sent: for one, each tensor has its own launch.

In the kernels, `tensors` holds the addresses of first elements in the order of `COLUMNS`, and
`numbers` points to the numbers of the rule, in the order of `NUMBERS`, or holds them: what the
host knows travels with the launch, so it never waits for the GPU.
"""

from collections import namedtuple
from collections.abc import Sequence
import functools
import inspect
import itertools
import re
import struct
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
import triton
import triton.language as tl

from optuna_evo.optimizers._columns import COLUMNS
from optuna_evo.optimizers._terms import ALL_TERMS
from optuna_evo.rules import NUMBERS


__all__ = ["launch", "TERMS", "TYPES"]

TYPES = {
    torch.float32: (tl.float32, tl.float32),
    torch.float64: (tl.float64, tl.float64),
    torch.bfloat16: (tl.bfloat16, tl.float32),
    torch.float16: (tl.float16, tl.float32),
}
_BLOCK = 2048  # elements of a program
_FLIP = 0x5555_5555_5555_5555
_ALIGNMENT = 16  # bytes that a thread loads at once
_Numbers = namedtuple("_Numbers", NUMBERS)  # type: ignore[misc]
_Columns = namedtuple("_Columns", COLUMNS)  # type: ignore[misc]


class Kind(NamedTuple):
    """What a kernel is compiled for."""

    param: tl.dtype
    real: tl.dtype  # of averages and arithmetic
    has: tuple[bool, ...]  # which of the columns there are
    aligned: bool
    by_value: bool  # whether the numbers travel with the launch
    n: _Numbers = _Numbers(*range(len(NUMBERS)))  # at which place
    c: _Columns = _Columns(*range(len(COLUMNS)))


def launch(
    dtype: torch.dtype,
    table: Sequence[int],
    numbers: Tensor | Sequence[float],
    device: torch.device,
    *,
    one_by_one: bool = False,
) -> None:
    """Do one step over tensors given by their addresses (see `_native.launch`).

    Args:
        dtype: Type of parameters and gradients; averages are float32 for types of 16 bits.
        table: As there.
        numbers: As there; a tensor is float64 and on the GPU.
        device: Where the tensors are.
        one_by_one: Whether each tensor has its own launch, and no table is sent.
    """
    by_value = not isinstance(numbers, Tensor)
    given: Any = numbers if isinstance(numbers, Tensor) else _bits(numbers)
    stride = given.shape[-1] if not by_value and given.ndim == 2 else 0
    if not one_by_one:
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        sent = _send(tuple(table), dtype, by_value, device, stream)
        if sent.blocks:
            _step_all[(sent.blocks,)](sent.there, sent.n, given, stride, sent.kind, _BLOCK)
        return
    width = len(COLUMNS) - 1
    n = len(table) // len(COLUMNS)
    kind, sizes = _kind(table, dtype, by_value), table[width * n :]
    for t, size in enumerate(sizes):
        if size:
            addresses = tuple(table[t : width * n : n])
            row = given[t] if stride else given
            _step_one[(triton.cdiv(size, _BLOCK),)](addresses, size, row, kind, _BLOCK)


def _bits(numbers: Sequence[float]) -> tuple[int, ...]:
    """Return float64 numbers as integers of 64 bits, which a launch does not round.

    Triton passes an integer that is small enough as one of 32 bits, and compiles a kernel for each
    pattern of them: flipped by `_FLIP`, none of the numbers of a step is.
    """
    return tuple(bits ^ _FLIP for bits in struct.unpack(f"{len(numbers)}q", _packed(numbers)))


def _packed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"{len(numbers)}d", *numbers)


class _Sent(NamedTuple):
    """A table that is on the GPU."""

    there: Tensor
    n: int
    blocks: int
    kind: Kind


@functools.lru_cache(maxsize=64)
def _send(
    table: tuple[int, ...], dtype: torch.dtype, by_value: bool, device: torch.device, stream: int
) -> _Sent:
    """Send a table, and at which block each tensor starts, once.

    Weights and averages stay where they are, and an allocator gives gradients the same places
    again: most steps find their table there. It is sent on the stream that reads it.
    """
    n = len(table) // len(COLUMNS)
    blocks = [triton.cdiv(size, _BLOCK) for size in table[len(table) - n :]]
    *starts, total = itertools.accumulate(blocks, initial=0)
    there = torch.tensor([*table, *starts], dtype=torch.int64).to(device)
    return _Sent(there, n, total, _kind(table, dtype, by_value))


def _kind(table: Sequence[int], dtype: torch.dtype, by_value: bool) -> Kind:
    width = len(COLUMNS) - 1
    n = len(table) // len(COLUMNS)
    aligned = all(address % _ALIGNMENT == 0 for address in table[: width * n])
    # an empty tensor has no address
    has = tuple(any(table[column * n : (column + 1) * n]) for column in range(width))
    return Kind(*TYPES[dtype], has, aligned, by_value)


@triton.jit(do_not_specialize=["n", "numbers", "stride"])
def _step_all(table, n, numbers, stride, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """Step the block that this program is for, of the tensor that it belongs to."""
    block = tl.program_id(0)
    width: tl.constexpr = KIND.c.sizes  # Triton 3.6 takes no attribute for a length
    starts = table + (width + 1) * n
    tensor, beyond = n * 0, n
    while beyond - tensor > 1:  # to the last tensor that starts no later than this block
        middle = (tensor + beyond) // 2
        later = tl.load(starts + middle) > block
        tensor, beyond = tl.where(later, tensor, middle), tl.where(later, middle, beyond)
    at = table + tensor
    tensors: tl.tuple = ()
    for column in tl.static_range(width):
        tensors = tensors + (tl.load(at + column * n),)
    size, block = tl.load(at + width * n), block - tl.load(starts + tensor)
    if KIND.by_value:
        _step_block(tensors, size, numbers, block, KIND, BLOCK)
    else:
        _step_block(tensors, size, numbers + tensor * stride, block, KIND, BLOCK)


@triton.jit(do_not_specialize=["tensors", "size", "numbers"])
def _step_one(tensors, size, numbers, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """Step the block that this program is for, of the only tensor."""
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
    p_at = _pointer(tensors[KIND.c.params], KIND.param, KIND.aligned) + at
    g_at = _pointer(tensors[KIND.c.grads], KIND.param, KIND.aligned) + at
    g = tl.load(g_at, mask=inside, other=0.0).to(real)
    clip = _number(numbers, KIND.n.clip, KIND.by_value).to(real)
    g = tl.where(g > clip, clip, g)  # NaN stays NaN
    g = tl.where(g < -clip, -clip, g)
    step = _share(numbers, KIND.n.grad, KIND.by_value, g)
    step += _share(numbers, KIND.n.sign_grad, KIND.by_value, _sign(g))
    over_abs = _share(numbers, KIND.n.sqrt_grad, KIND.by_value, g)
    over_rms = _share(numbers, KIND.n.rms_norm, KIND.by_value, g)
    if KIND.has[KIND.c.exp_avg]:
        m_at = _pointer(tensors[KIND.c.exp_avg], real, KIND.aligned) + at
        m = tl.load(m_at, mask=inside, other=0.0)
        m += _number(numbers, KIND.n.m_share, KIND.by_value).to(real) * (g - m)
        tl.store(m_at, m, mask=inside)
        step += _share(numbers, KIND.n.momentum, KIND.by_value, m)
        step += _share(
            numbers, KIND.n.agreement, KIND.by_value, tl.where(_sign(g) == _sign(m), m, 0.0)
        )
        step += _share(numbers, KIND.n.sign_momentum, KIND.by_value, _sign(m))
        over_abs += _share(numbers, KIND.n.momentum_over_abs, KIND.by_value, m)
        over_rms += _share(numbers, KIND.n.adam_term, KIND.by_value, m)
    if KIND.has[KIND.c.exp_avg_slow]:
        s_at = _pointer(tensors[KIND.c.exp_avg_slow], real, KIND.aligned) + at
        s = tl.load(s_at, mask=inside, other=0.0)
        between = s + _number(numbers, KIND.n.m_share, KIND.by_value).to(real) * (g - s)
        step += _share(numbers, KIND.n.lion, KIND.by_value, _sign(between))
        s += _number(numbers, KIND.n.v_share, KIND.by_value).to(real) * (g - s)
        tl.store(s_at, s, mask=inside)
    if KIND.has[KIND.c.directions]:
        d_at = _pointer(tensors[KIND.c.directions], real, KIND.aligned) + at
        step += _share(numbers, KIND.n.dense, KIND.by_value, tl.load(d_at, mask=inside, other=0.0))
    eps = _number(numbers, KIND.n.eps, KIND.by_value).to(real)
    if KIND.has[KIND.c.exp_avg_sq]:
        v_at = _pointer(tensors[KIND.c.exp_avg_sq], real, KIND.aligned) + at
        v = tl.load(v_at, mask=inside, other=0.0)
        v_decay, v_share = (
            _number(numbers, KIND.n.v_decay, KIND.by_value),
            _number(numbers, KIND.n.v_share, KIND.by_value),
        )
        v = v_decay.to(real) * v + v_share.to(real) * g * g
        tl.store(v_at, v, mask=inside)
        rms = _number(numbers, KIND.n.rms_scale, KIND.by_value).to(real) * tl.sqrt(v) + eps
        step += tl.where(
            _reads(numbers, KIND.n.rms_norm, KIND.n.adam_term, KIND.by_value), over_rms / rms, 0.0
        )
    size = tl.abs(g) + eps
    step += tl.where(
        _reads(numbers, KIND.n.sqrt_grad, KIND.n.momentum_over_abs, KIND.by_value),
        over_abs / size,
        0.0,
    )
    p = tl.load(p_at, mask=inside, other=0.0).to(real)
    p = _number(numbers, KIND.n.decay, KIND.by_value).to(real) * p - step
    tl.store(p_at, p.to(KIND.param), mask=inside)


# The terms that there is a line for: their names stand in it.
TERMS = frozenset(re.findall(r"KIND\.n\.(\w+)", inspect.getsource(_step_elements.fn))) & ALL_TERMS


@triton.jit
def _sign(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@triton.jit
def _pointer(address, TYPE: tl.constexpr, ALIGNED: tl.constexpr):
    pointer = address.to(tl.int64).to(tl.pointer_type(TYPE))
    return tl.multiple_of(pointer, 16) if ALIGNED else pointer


@triton.jit
def _number(numbers, number: tl.constexpr, BY_VALUE: tl.constexpr):
    if BY_VALUE:
        return (numbers[number].to(tl.int64) ^ 0x5555555555555555).to(tl.float64, bitcast=True)
    else:
        return tl.load(numbers + number)


@triton.jit
def _share(numbers, number: tl.constexpr, BY_VALUE: tl.constexpr, direction):
    """Return number * direction; a number of 0 is nothing even times inf."""
    k = _number(numbers, number, BY_VALUE).to(direction.dtype)
    return tl.where(k == 0, 0.0, k * direction)


@triton.jit
def _reads(numbers, first: tl.constexpr, second: tl.constexpr, BY_VALUE: tl.constexpr):
    """Tell whether the rule reads one of two directions."""
    return (_number(numbers, first, BY_VALUE) != 0) | (_number(numbers, second, BY_VALUE) != 0)

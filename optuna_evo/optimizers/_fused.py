"""One pass over lists of tensors, whatever their memory layout, by a compiled kernel."""

from collections.abc import Sequence
import functools

import torch
from torch import Tensor

from optuna_evo.optimizers import _native
from optuna_evo.optimizers._native import Pointers


__all__ = ["fused_update", "has_kernel"]


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether `fused_update` can step parameters of this device and type."""
    return device.type == "cpu" and _native.is_available(dtype)


def fused_update(
    params: list[Tensor],
    grads: list[Tensor],
    ms: list[Tensor],
    vs: list[Tensor],
    numbers: Tensor,
) -> None:
    """Update parameters and averages in place.

    Args:
        params: Parameters of one dtype and device, for which there is a kernel.
        grads: Their gradients; never written.
        ms: Averages of gradients, empty where the rule reads none.
        vs: Averages of squared gradients, empty where the rule reads none.
        numbers: `Scalars.numbers()`, (14,), or a row for each tensor, (n, 14); float64.
    """
    originals = params, grads, ms, vs
    if not all(t.is_contiguous() for tensors in originals for t in tensors):
        params, grads, ms, vs = _in_one_layout(params, grads, ms, vs)
    _native.launch(
        params[0].dtype,
        _addresses(params),
        _addresses(grads),
        _addresses(ms) if ms else None,
        _addresses(vs) if vs else None,
        [p.numel() for p in params],
        numbers,
    )
    for ours, theirs in zip((params, ms, vs), (originals[0], *originals[2:]), strict=True):
        for copy, original in zip(ours, theirs, strict=True):
            if copy is not original:
                original.copy_(copy)
    torch.autograd.graph.increment_version(originals[0])


def _addresses(tensors: Sequence[Tensor]) -> Pointers:
    return [t.data_ptr() for t in tensors]


def _in_one_layout(params: list[Tensor], *others: list[Tensor]) -> list[list[Tensor]]:
    """Return tensors, or copies where need be, whose elements lie in the order of the parameter's.

    Parameters that are not dense, such as columns of a matrix, become contiguous copies.
    """
    dense = [p if _is_dense(p.shape, p.stride()) else p.contiguous() for p in params]
    return [dense, *([_laid_out(t, p) for t, p in zip(o, dense, strict=False)] for o in others)]


def _laid_out(t: Tensor, like: Tensor) -> Tensor:
    if t.stride() == like.stride() or (t.is_contiguous() and like.is_contiguous()):
        return t
    return torch.empty_like(like, dtype=t.dtype).copy_(t)


@functools.lru_cache(maxsize=4096)
def _is_dense(shape: torch.Size, strides: tuple[int, ...]) -> bool:
    """Tell whether elements fill one block of memory, in whatever order of dimensions."""
    expected = 1
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length == 0:
            return True
        if length > 1:
            if stride != expected:
                return False
            expected *= length
    return True

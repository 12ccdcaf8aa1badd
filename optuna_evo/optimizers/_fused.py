"""One pass over lists of tensors, whatever their memory layout, by a compiled kernel."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import importlib
import logging
from typing import Any

import torch
from torch import Tensor

from optuna_evo.optimizers import _native
from optuna_evo.optimizers._columns import COLUMNS
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._reference import Averages
from optuna_evo.rules import AVERAGES


__all__ = ["check_fit", "fused_update", "has_kernel", "kernel_terms"]


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether `fused_update` can step parameters of this device and type."""
    if device.type == "cpu":
        return _native.is_available(dtype)
    return device.type == "cuda" and _triton() is not None and dtype in _triton().TYPES


def kernel_terms(device: torch.device, dtype: torch.dtype) -> frozenset[str]:
    """Return the names of the terms that the kernel has, "dense" among them."""
    terms: frozenset[str]
    terms = _native.terms(dtype) if device.type == "cpu" else _triton().TERMS
    return terms


def fused_update(
    params: list[Tensor],
    grads: list[Tensor],
    averages: Averages,
    numbers: Tensor | Sequence[float],
    directions: list[Tensor] | None = None,
    *,
    capturable: bool = False,
    checked: bool = False,
) -> None:
    """Update parameters and averages in place.

    Args:
        params: Parameters of one dtype and device, for which there is a kernel.
        grads: Their gradients; never written.
        averages: Averages of gradients that the rule reads.
        numbers: `step_numbers`, or a row of them for each tensor; a tensor is float64 and on the
            device of the parameters.
        directions: Dense directions, in the type of averages, if the number of that name is not 0;
            never written.
        capturable: Whether a CUDA graph may be captured: nothing is sent to the GPU.
        checked: Whether `check_fit` was called.

    Raises:
        RuntimeError: If a gradient, average or direction does not fit its parameter, as after
            `p.data` was replaced by a tensor of another size.
    """
    sizes = [p.numel() for p in params]
    dtype = params[0].dtype
    columns = {"params": params, "grads": grads}
    columns |= {AVERAGES[symbol].state: tensors for symbol, tensors in averages.items()}
    if directions is not None:
        columns["directions"] = directions
    if not checked:
        check_fit(params, grads, averages, directions)
    dense = columns if _have_one_layout(columns.values()) else _in_one_layout(columns)
    table: list[int] = []
    for name in COLUMNS[:-1]:
        table += [t.data_ptr() for t in dense[name]] if name in dense else [0] * len(params)
    table += sizes
    if params[0].is_cuda:
        from optuna_evo.optimizers._triton import launch  # there is one, or nobody came here

        device = params[0].device
        with torch.cuda.device(device):
            launch(dtype, table, numbers, device, one_by_one=capturable)
    else:
        _native.launch(dtype, table, numbers)
    if dense is not columns:
        _copy_back(dense, columns)
    torch.autograd.graph.increment_version(params)


def check_fit(
    params: list[Tensor],
    grads: list[Tensor],
    averages: Averages,
    directions: list[Tensor] | None = None,
) -> None:
    """Raise unless a kernel can read the tensors as what it takes them for.

    Args:
        params: Parameters of one dtype.
        grads: Their gradients.
        averages: Their averages.
        directions: Dense directions, if there are some.

    Raises:
        RuntimeError: If a tensor has another size or type than its parameter asks for.
    """
    sizes, dtype = [p.numel() for p in params], params[0].dtype
    real = average_dtype(dtype)
    _check_column(sizes, grads, dtype)
    for tensors in (*averages.values(), *([directions] if directions else [])):
        _check_column(sizes, tensors, real)


def _check_column(sizes: list[int], tensors: list[Tensor], dtype: torch.dtype) -> None:
    if tensors and sizes != [t.numel() for t in tensors]:
        raise RuntimeError(
            "A parameter has another size than its gradient or average: after a change of sizes "
            "build a new optimizer."
        )
    for t in tensors:
        if t.dtype is not dtype:
            raise RuntimeError(
                f"A gradient or average is {t.dtype}, its parameter asks for {dtype}: after a "
                "change of types build a new optimizer."
            )


@functools.cache
def _triton() -> Any:
    """Return the module of the GPU kernel, or None, and the log says so once."""
    try:
        return importlib.import_module("optuna_evo.optimizers._triton")
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "Evolved optimizers step by torch's multi-tensor operations, which take several times "
            "as long as one compiled pass: %s. Install triton, or choose `fused=False`.",
            error,
        )
        return None


def _have_one_layout(columns: Collection[list[Tensor]]) -> bool:
    """Tell whether the elements of a parameter and all that belongs to it lie in one order."""
    params, *others = columns
    strides = [p.stride() for p in params]
    return all(not other or strides == [t.stride() for t in other] for other in others) and all(
        p.is_contiguous() or _is_dense(p.shape, p.stride()) for p in params
    )


def _in_one_layout(columns: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Return the tensors, or copies where need be, in the layout of the parameter.

    Parameters that are not dense, such as columns of a matrix, become contiguous copies.
    """
    dense = [p if _is_dense(p.shape, p.stride()) else p.contiguous() for p in columns["params"]]
    return {
        name: [_laid_out(t, p) for t, p in zip(tensors, dense, strict=False)]
        for name, tensors in (columns | {"params": dense}).items()
    }


def _laid_out(t: Tensor, like: Tensor) -> Tensor:
    if t.stride() == like.stride() or (t.is_contiguous() and like.is_contiguous()):
        return t
    return torch.empty_like(like, dtype=t.dtype).copy_(t)


def _copy_back(copies: Mapping[str, list[Tensor]], originals: Mapping[str, list[Tensor]]) -> None:
    """Write parameters and averages, but nothing that is only read, to where they came from."""
    for name in copies.keys() - {"grads", "directions"}:
        for copy, original in zip(copies[name], originals[name], strict=True):
            if copy is not original:
                original.copy_(copy)


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

"""Which path steps a list of tensors: the compiled kernel, multi-tensor, or the plain loop."""

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor

from optuna_evo.optimizers import _foreach
from optuna_evo.optimizers._foreach import foreach_update
from optuna_evo.optimizers._fused import fused_update
from optuna_evo.optimizers._fused import has_kernel
from optuna_evo.optimizers._fused import kernel_terms
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._reference import Averages
from optuna_evo.optimizers._reference import reference_update
from optuna_evo.optimizers._terms import lacks


__all__ = ["update_tensors"]

_Numbers = Tensor | Sequence[float]


def update_tensors(
    params: list[Tensor],
    grads: list[Tensor],
    averages: Averages,
    numbers: _Numbers,
    directions: list[Tensor] | None = None,
    *,
    foreach: bool | None = None,
    fused: bool | None = None,
    capturable: bool = False,
) -> None:
    """Update parameters and averages in place by the fastest path that has all terms of the step.

    Args:
        params: Parameters of one dtype and device.
        grads: Their gradients; never written.
        averages: Averages of gradients that the rule reads.
        numbers: `step_numbers`, or a row of them for each tensor or for all, a float64 tensor on
            the device of the parameters.
        directions: Dense directions, in the type of averages; never written.
        foreach: False: the plain loop.
        fused: True: the kernel or an error; None: the kernel if there is one.
        capturable: Whether a CUDA graph may be captured of it.

    Raises:
        RuntimeError: If `fused` is True and there is no kernel.
    """
    if isinstance(numbers, Tensor) and numbers.ndim == 2 and len(numbers) == 1:
        numbers = numbers[0]
    if _is_fused(params, numbers, fused):
        fused_update(params, grads, averages, numbers, directions, capturable=capturable)
        return
    dtype = average_dtype(params[0].dtype)
    wide, wide_grads = [p.to(dtype) for p in params], [g.to(dtype) for g in grads]
    for part, row in _rows(len(params), numbers):
        by_foreach = foreach is not False and not lacks(_foreach.TERMS, row)
        (foreach_update if by_foreach else reference_update)(
            wide[part],
            wide_grads[part],
            {symbol: tensors[part] for symbol, tensors in averages.items()},
            row,
            directions and directions[part],
        )
    if dtype != params[0].dtype:
        torch._foreach_copy_(params, wide)


def _rows(count: int, numbers: _Numbers) -> list[tuple[slice, Sequence[float]]]:
    """Return which tensors have which numbers."""
    if isinstance(numbers, Tensor) and numbers.ndim == 2:
        rows: list[list[float]] = numbers.tolist()
        return [(slice(i, i + 1), row) for i, row in enumerate(rows)]
    return [(slice(0, count), numbers.tolist() if isinstance(numbers, Tensor) else numbers)]


def _is_fused(params: list[Tensor], numbers: _Numbers, fused: bool | None) -> bool:
    if fused is False or torch.compiler.is_compiling():
        return False
    device, dtype = params[0].device, params[0].dtype
    plain = all(type(p) in (Tensor, nn.Parameter) for p in params)
    able = plain and has_kernel(device, dtype) and not lacks(kernel_terms(device, dtype), numbers)
    if fused and not able:
        raise RuntimeError(
            f"`fused=True` needs a kernel for {dtype} on {device} that has all terms of the rule, "
            "and there is none here: leave `fused` and `capturable` out."
        )
    return able

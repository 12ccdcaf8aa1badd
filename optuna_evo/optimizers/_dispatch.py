"""Which path steps a list of tensors: the compiled kernel, multi-tensor, or the plain loop."""

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
from torch.optim.optimizer import _foreach_supported_types

from optuna_evo.optimizers import _foreach
from optuna_evo.optimizers._foreach import foreach_update
from optuna_evo.optimizers._fused import fused_update
from optuna_evo.optimizers._fused import has_kernel
from optuna_evo.optimizers._fused import kernel_terms
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._reference import Averages
from optuna_evo.optimizers._reference import reference_update
from optuna_evo.optimizers._terms import lacks


__all__ = ["is_fused", "update_tensors"]

_Numbers = Tensor | Sequence[float]
_PLAIN = frozenset({Tensor, nn.Parameter})  # kernels read their memory


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
    checked: bool = False,
) -> None:
    """Update parameters and averages in place by the fastest path that has all terms of the step.

    Args:
        params: Parameters of one type, dtype and device.
        grads: Their gradients, alike; never written.
        averages: Averages of gradients that the rule reads.
        numbers: `step_numbers`, or a row of them for each tensor or for all, a float64 tensor on
            the device of the parameters.
        directions: Dense directions, in the type of averages; never written.
        foreach: True: multi-tensor operations. False: the plain loop. None: as torch decides, the
            loop for tensor subclasses that are not known to have multi-tensor operations.
        fused: True: the kernel or an error; None: the kernel if there is one.
        capturable: Whether a CUDA graph may be captured of it.
        checked: Whether `fused` is what `is_fused` said, and `check_fit` was called.

    Raises:
        RuntimeError: If `fused` is True and there is no kernel.
    """
    if isinstance(numbers, Tensor) and numbers.ndim == 2 and len(numbers) == 1:
        numbers = numbers[0]
    if fused if checked else is_fused(params, grads, numbers, fused):
        fused_update(
            params, grads, averages, numbers, directions, capturable=capturable, checked=checked
        )
        return
    if foreach is None:
        foreach = type(params[0]) in _foreach_supported_types
    dtype = average_dtype(params[0].dtype)
    wide, wide_grads = [p.to(dtype) for p in params], [g.to(dtype) for g in grads]
    for part, row in _rows(len(params), numbers):
        by_foreach = foreach and not lacks(_foreach.TERMS, row)
        (foreach_update if by_foreach else reference_update)(
            wide[part],
            wide_grads[part],
            {symbol: tensors[part] for symbol, tensors in averages.items()},
            row,
            directions and directions[part],
        )
    if dtype != params[0].dtype:
        if foreach:
            torch._foreach_copy_(params, wide)
        else:
            for p, w in zip(params, wide, strict=True):
                p.copy_(w)


def _rows(count: int, numbers: _Numbers) -> list[tuple[slice, Sequence[float]]]:
    """Return which tensors have which numbers."""
    if isinstance(numbers, Tensor) and numbers.ndim == 2:
        rows: list[list[float]] = numbers.tolist()
        return [(slice(i, i + 1), row) for i, row in enumerate(rows)]
    return [(slice(0, count), numbers.tolist() if isinstance(numbers, Tensor) else numbers)]


def is_fused(
    params: list[Tensor], grads: list[Tensor], numbers: _Numbers, fused: bool | None
) -> bool:
    """Tell whether the kernel does this step.

    Args:
        params: Parameters of one type, dtype and device.
        grads: Their gradients, alike.
        numbers: Numbers that are 0 where those of the step are.
        fused: As in `update_tensors`.

    Raises:
        RuntimeError: If `fused` is True and there is no kernel.
    """
    if fused is False or torch.compiler.is_compiling():
        return False
    device, dtype = params[0].device, params[0].dtype
    plain = type(params[0]) in _PLAIN and type(grads[0]) in _PLAIN and grads[0].dtype == dtype
    able = plain and has_kernel(device, dtype) and not lacks(kernel_terms(device, dtype), numbers)
    if fused and not able:
        kind = "" if plain else f" ({type(params[0]).__name__}, gradients {grads[0].dtype})"
        raise RuntimeError(
            f"`fused=True` needs a kernel for {dtype} on {device}{kind} that has all terms of the "
            "rule, and there is none here: leave `fused` and `capturable` out."
        )
    return able

"""One update for every rule on flat buffers: one model (N,), or a population of P models (P, N).

Symbols: p parameters, g gradients, m averages of g, v averages of g * g. A rule differs from
another by its numbers only (`Scalars.numbers`), so members of a population may have different
rules. A direction whose number is 0 contributes nothing, whatever its value: an infinite gradient
does not reach a rule that does not read it.
"""

import torch
from torch import Tensor

from optuna_evo.optimizers._fused import fused_update
from optuna_evo.optimizers._fused import has_kernel
from optuna_evo.optimizers._update import NUMBERS


__all__ = ["update_flat"]


@torch.no_grad()
def update_flat(
    params: Tensor,
    grads: Tensor,
    exp_avg: Tensor | None,
    exp_avg_sq: Tensor | None,
    numbers: Tensor,
    *,
    fused: bool | None = None,
    capturable: bool = False,
) -> None:
    """Do one optimizer step in place on flat buffers.

    Args:
        params:
            Weights of one model, (N,), or of a population, (P, N).
        grads:
            Their gradients, of the same shape; never written.
        exp_avg:
            Averages of gradients, of the same shape; None if no member's rule reads them. What
            they hold for members that do not read them is unspecified.
        exp_avg_sq:
            Averages of squared gradients; as `exp_avg`.
        numbers:
            `Scalars.numbers()` of this step, (14,), or of each member, (P, 14); float64, on the
            device of the parameters. `FROZEN` is a member that keeps its weights.
        fused:
            Whether to do it in one compiled pass. None: where there is a kernel for the device and
            dtype; False: by torch's operations, one after another.
        capturable:
            Whether a CUDA graph may be captured of it, after a call outside of it.

    Example:
        >>> numbers = torch.tensor([s.numbers() for s in scalars], dtype=torch.float64)
        >>> update_flat(params, grads, exp_avg, exp_avg_sq, numbers)  # (P, N), (P, 14)
    """
    if fused is None:
        fused = has_kernel(params.device, params.dtype) and not torch.compiler.is_compiling()
    if fused:
        rows = (_rows(params), _rows(grads), _rows(exp_avg), _rows(exp_avg_sq))
        fused_update(*rows, numbers, capturable=capturable)
    else:
        _update_by_operations(params, grads, exp_avg, exp_avg_sq, numbers)


def _rows(buffer: Tensor | None) -> list[Tensor]:
    if buffer is None:
        return []
    return [buffer] if buffer.ndim == 1 else list(buffer.unbind())


def _update_by_operations(
    params: Tensor,
    grads: Tensor,
    exp_avg: Tensor | None,
    exp_avg_sq: Tensor | None,
    numbers: Tensor,
) -> None:
    columns = numbers.to(params.dtype).unsqueeze(-1).unbind(-2)  # (1,) or (P, 1) each
    n = dict(zip(NUMBERS, columns, strict=True))
    g = torch.maximum(torch.minimum(grads, n["clip"]), -n["clip"])
    update = _sum((n["grad"], g), (n["momentum"], _average(exp_avg, g, n)), (n["sign"], g.sign()))
    if exp_avg_sq is not None:
        exp_avg_sq.mul_(n["v_decay"]).addcmul_(g, g * n["v_share"])
        rms = exp_avg_sq.sqrt().mul_(n["rms_scale"]).add_(n["eps"])
        update += _ratio(n["grad_over_rms"], n["momentum_over_rms"], g, exp_avg, rms)
    size = g.abs().add_(n["eps"])
    update += _ratio(n["grad_over_abs"], n["momentum_over_abs"], g, exp_avg, size)
    params.mul_(n["decay"]).sub_(update)


def _average(exp_avg: Tensor | None, g: Tensor, n: dict[str, Tensor]) -> Tensor | None:
    return None if exp_avg is None else exp_avg.lerp_(g, n["m_share"])


def _sum(*terms: tuple[Tensor, Tensor | None]) -> Tensor:
    """Return the sum of number * direction, where a number of 0 is nothing even times inf."""
    total = None
    for number, direction in terms:
        if direction is not None:
            term = torch.where(number == 0, 0.0, number * direction)
            total = term if total is None else total.add_(term)
    assert total is not None
    return total


def _ratio(
    weight_g: Tensor, weight_m: Tensor, g: Tensor, m: Tensor | None, denominator: Tensor
) -> Tensor:
    ratio = _sum((weight_g, g), (weight_m, m)).div_(denominator)
    return torch.where((weight_g == 0) & (weight_m == 0), 0.0, ratio)

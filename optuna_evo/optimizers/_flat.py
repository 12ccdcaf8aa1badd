"""One update for every rule on flat buffers: one model (N,), or a population of P models (P, N).

A rule differs from another by its numbers only (`step_numbers`), so members of a population may
have different rules, and tensors of a model different numbers.
"""

from collections.abc import Mapping
from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.optimizers._fused import fused_update
from optuna_evo.optimizers._fused import has_kernel
from optuna_evo.optimizers._fused import kernel_terms
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._reference import by_name
from optuna_evo.optimizers._reference import Elements
from optuna_evo.optimizers._rows import fused_stack
from optuna_evo.optimizers._rows import is_stack
from optuna_evo.optimizers._terms import lacks
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import TermType


__all__ = ["update_flat"]


@torch.no_grad()
def update_flat(
    params: Tensor,
    grads: Tensor,
    averages: Mapping[str, Tensor],
    numbers: Tensor,
    *,
    directions: Tensor | None = None,
    sizes: Sequence[int] = (),
    fused: bool | None = None,
    capturable: bool = False,
) -> None:
    """Do one optimizer step in place on flat buffers.

    Args:
        params:
            Weights of one model, (N,), or of a population, (P, N).
        grads:
            Their gradients, of the same shape; never written.
        averages:
            By their symbols in `AVERAGES`, of the same shape: those that any member's rule reads.
        numbers:
            `step_numbers` of this step, (n,), of each member, (P, n), or of each tensor of each
            member, (P, T, n); float64, on the device of the parameters. `FROZEN` is a member that
            keeps its weights.
        directions:
            Dense directions, of the same shape, for members whose number of that name is not 0.
        sizes:
            Numbers of elements of the T tensors of a model; read where each has its own numbers.
        fused:
            Whether to do it in one compiled pass. None: where there is a kernel for the device,
            the dtype and all terms; False: by torch's operations, one after another.
        capturable:
            Whether a CUDA graph may be captured of it, after a call outside of it.

    Example:
        >>> rows = [step_numbers(rule, 1, total_steps=None) for rule in rules]
        >>> numbers = torch.tensor(rows, dtype=torch.float64)
        >>> update_flat(params, grads, {"m": m, "v": v}, numbers)  # (P, N), (P, n)
    """
    buffers = {"p": params, "g": grads, **averages}
    if directions is not None:
        buffers["d"] = directions
    if numbers.ndim == 3:
        if numbers.shape[1] != max(1, len(sizes)):
            raise ValueError(
                f"`numbers` must have a row for each of {len(sizes)} tensors in `sizes`, got "
                f"shape {tuple(numbers.shape)}."
            )
        lengths = list(sizes) or [params.shape[-1]]
    else:
        lengths, numbers = [params.shape[-1]], numbers.unsqueeze(-2)
    if fused is None:
        fused = not torch.compiler.is_compiling() and has_kernel(params.device, params.dtype)
        fused = fused and not lacks(kernel_terms(params.device, params.dtype), numbers)
    if fused and not capturable and is_stack(buffers, numbers):
        fused_stack(params, grads, averages, numbers, lengths, directions)
        return
    tensors = {name: torch.split(buffer, lengths, dim=-1) for name, buffer in buffers.items()}
    if fused:
        rows = {name: [r for t in ts for r in _rows(t)] for name, ts in tensors.items()}
        by_tensor = numbers.movedim(-2, 0).reshape(-1, numbers.shape[-1])
        fused_update(
            rows.pop("p"),
            rows.pop("g"),
            {symbol: rows[symbol] for symbol in averages},
            by_tensor if len(by_tensor) > 1 else by_tensor[0],
            rows.get("d"),
            capturable=capturable,
        )
        return
    for t in range(len(lengths)):
        own = {name: ts[t] for name, ts in tensors.items()}
        _update_by_operations(own, numbers[..., t, :], list(averages))


def _rows(buffer: Tensor) -> list[Tensor]:
    return [buffer] if buffer.ndim == 1 else list(buffer.unbind())


def _update_by_operations(
    buffers: Mapping[str, Tensor], numbers: Tensor, symbols: Sequence[str]
) -> None:
    averages = {symbol: buffers[symbol] for symbol in symbols}
    dtype = average_dtype(buffers["p"].dtype)
    params, grads = buffers["p"].to(dtype), buffers["g"].to(dtype)
    n = by_name(numbers.to(params.dtype).unsqueeze(-1).unbind(-2))  # (1,) or (P, 1) each
    g = torch.maximum(torch.minimum(grads, n["clip"]), -n["clip"])
    x = Elements(g, averages, n)
    _update_averages(averages, x, after_use=False)
    update = torch.zeros_like(params)
    for term in DIRECTIONS:
        number = n[term.name.lower()]
        if _can_read(term, symbols) and not _is_zero(number):
            assert term.row.expression is not None
            update += torch.where(number == 0, 0.0, number * term.row.expression(x))
    if "d" in buffers:
        update += torch.where(n["dense"] == 0, 0.0, n["dense"] * buffers["d"])
    params.mul_(n["decay"]).sub_(update)
    if params is not buffers["p"]:
        buffers["p"].copy_(params)
    _update_averages(averages, x, after_use=True)


def _update_averages(averages: Mapping[str, Tensor], x: Elements, *, after_use: bool) -> None:
    for symbol, average in averages.items():
        if AVERAGES[symbol].after_use == after_use:
            average.copy_(AVERAGES[symbol].update(average, x))


def _can_read(term: TermType, symbols: Sequence[str]) -> bool:
    """Tell whether the averages of a term are there: a term without them is in no rule here."""
    return {symbol for symbol in term.row.reads if symbol in AVERAGES} <= set(symbols)


def _is_zero(number: Tensor) -> bool:
    """Tell whether no member reads a term, where it costs nothing to know."""
    if number.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not bool(number.any())

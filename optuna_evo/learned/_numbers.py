"""From a controller's answer to the numbers of a step.

The numbers of the base genome are multiplied by exp(log lr) and added to by the mix: both change
no bit where the answer is 0. All is differentiable with respect to the answer.

Shape legend: P members, T tensors, K mixes, D directions, n numbers of a step.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.learned._reading import Answer
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import Genome
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import step_numbers


__all__ = ["answered_numbers", "Base", "BaseRow", "is_sized"]

_D = len(DIRECTIONS)
_N = len(NUMBERS)
_DECAY = NUMBERS.index("decay")
# What has the size of a gradient, and which root mean square makes it of the order of 1.
_SIZED = {"GRAD": "g", "MOMENTUM": "m", "AGREEMENT": "m"}
_CHUNK = 64


def is_sized(mix: str) -> bool:
    """Tell whether a direction has the size of a gradient."""
    return mix in _SIZED


class BaseRow(NamedTuple):
    """What a step of the base genome is made of, for each of P members; float64.

    Args:
        numbers: Those of the base, (P, n); averages move although the base may not read them.
        unit: The number of a direction with coefficient 1, the dense one last, (P, D + 1).
        correction_m: What m is multiplied by, (P,).
    """

    numbers: Tensor
    unit: Tensor
    correction_m: Tensor


class Base:
    """The rows of a base genome for all steps, made in chunks: a device waits once a chunk.

    Args:
        genome: The base.
        total_steps: Length of the run.
        device: Where rows are needed.
    """

    def __init__(self, genome: Genome, total_steps: int | None, device: torch.device) -> None:
        self._total_steps, self._device = total_steps, device
        self._base = genome.rule
        # with all directions, so that every average moves; its coefficients are the units
        self._full = dataclasses.replace(
            self._base,
            coefficients=(1.0,) * _D,
            beta1=genome.beta1,
            beta2=genome.beta2,
            eps=genome.eps,
            bias_correction=genome.use_bias_correction,
            clip_value=genome.clip_value if genome.use_gradient_clipping else None,
        )
        self._table = torch.zeros(0, _N + _D + 2, dtype=torch.float64, device=device)

    def rows(self, last: int) -> Tensor:
        """Return the rows of steps 1 to `last` at least, (S, n + D + 2)."""
        done = len(self._table)
        if last > done:
            steps = range(done + 1, max(last, done + min(_CHUNK, max(4, done))) + 1)
            made = torch.tensor([self._row(step) for step in steps], dtype=torch.float64)
            self._table = torch.cat([self._table, made.to(self._device)])
        return self._table

    def _row(self, step: int) -> list[float]:
        base = step_numbers(self._base, step, total_steps=self._total_steps)
        full = step_numbers(self._full, step, total_steps=self._total_steps)
        lr = self._full.lr * self._full.lr_scale(step - 1, self._total_steps)
        correction = 1 - self._full.beta1**step if self._full.bias_correction else 1.0
        return [*base[: _D + 1], *full[_D + 1 :], *full[:_D], lr, 1 / correction]


def base_row(rows: Tensor) -> BaseRow:
    """Return the parts of rows (P, n + D + 2)."""
    return BaseRow(rows[:, :_N], rows[:, _N : _N + _D + 1], rows[:, -1])


def answered_numbers(
    answer: Answer, base: BaseRow, sizes: dict[str, Tensor], mixes: Sequence[str]
) -> Tensor:
    """Return the numbers of a step, (P, T, n), float64.

    Args:
        answer: With members first: log_lr (P, T), mix (P, T, K), share (P, T).
        base: Of the step.
        sizes: Root mean squares of gradients "g" and their averages "m", (P, T).
        mixes: Names of the K directions.
    """
    log_lr = answer.log_lr.double()
    n_tensors = log_lr.shape[1]
    mixed = torch.zeros_like(base.unit[:, None, :_D]).expand(-1, n_tensors, -1)
    if mixes:
        scaled = answer.mix.double()
        if any(mix in _SIZED for mix in mixes):
            scaled = scaled * torch.stack([_scale(mix, sizes) for mix in mixes], dim=-1)
        mixed = scaled @ _places(mixes, log_lr.device)  # (P, T, D)
    if answer.direction is None:
        share = torch.zeros_like(log_lr)
    else:
        share = torch.ones_like(log_lr) if answer.share is None else answer.share.double()
    added = torch.cat([mixed, share.unsqueeze(-1)], dim=-1)
    steps = base.numbers[:, None, : _D + 1] + base.unit[:, None] * added
    steps = steps * log_lr.exp().unsqueeze(-1)
    rest = base.numbers[:, None, _D + 1 :].expand(-1, n_tensors, -1)
    decay = rest[..., :1] + (rest[..., :1] - 1) * log_lr.expm1().unsqueeze(-1)
    return torch.cat([steps, decay, rest[..., 1:]], dim=-1)


assert NUMBERS[_D + 1] == "decay" and _DECAY == _D + 1


def _scale(mix: str, sizes: dict[str, Tensor]) -> Tensor:
    """Return what a direction is multiplied by; 0 where a tensor has no gradient."""
    if mix not in _SIZED:
        return torch.ones_like(sizes["g"], dtype=torch.float64)
    size = sizes[_SIZED[mix]].double()
    return torch.where(size > 0, 1 / size.clamp(min=1e-30), 0.0)


def _places(mixes: Sequence[str], device: torch.device) -> Tensor:
    """Return where each mix stands among the directions, (K, D)."""
    names = [term.name for term in DIRECTIONS]
    places = torch.zeros(len(mixes), _D, dtype=torch.float64)
    for k, mix in enumerate(mixes):
        places[k, names.index(mix)] = 1
    return places.to(device)

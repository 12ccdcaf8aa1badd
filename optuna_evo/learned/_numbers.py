"""From a controller's answer to the numbers of a step.

The numbers of the base genome are multiplied by exp(log lr) and added to by the mix: both change
no bit where the answer is 0. All is differentiable with respect to the answer.

Shape legend: P members, T tensors, K mixes, D directions, n numbers of a step.
"""

from collections.abc import Mapping
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


__all__ = ["answered_numbers", "Base", "BaseRow", "Mixer"]

_D = len(DIRECTIONS)
_N = len(NUMBERS)
# What has the size of a gradient, and which root mean square makes it of the order of 1.
_SIZED = {"GRAD": "g", "MOMENTUM": "m", "AGREEMENT": "m"}
_CHUNK = 64
_WIDTHS = [_N, _D + 1, 1]


class BaseRow(NamedTuple):
    """What a step of the base genome is made of, for each of P members; float64.

    Args:
        numbers: Those of the base, (P, n); averages move although the base may not read them.
        unit: The number of a direction with coefficient 1, the dense one last, (P, D + 1).
        correction_m: What m is multiplied by, (P, 1).
    """

    numbers: Tensor
    unit: Tensor
    correction_m: Tensor


class Base:
    """The rows of a base genome for all steps, made in chunks: a device waits once a chunk.

    Args:
        genome: The base.
        device: Where rows are needed.
    """

    def __init__(self, genome: Genome, device: torch.device) -> None:
        self._device = device
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
        self._feels_length = self._base.needs_length or self._base.horizon is not None
        self._tables: dict[int | None, Tensor] = {}

    def row(self, step: int, total_steps: int | None) -> Tensor:
        """Return the row of a step of a run, (width,)."""
        return self._table(step, total_steps)[step - 1]

    def rows(self, steps: Sequence[int], totals: Sequence[int | None], index: Tensor) -> BaseRow:
        """Return the rows of P members.

        Args:
            steps: Numbers of their steps, counted from 1.
            totals: Lengths of their runs.
            index: The same as `steps`, on the device.
        """
        if not self._feels_length:
            rows = self._table(max(steps), None).index_select(0, index - 1)
        else:
            rows = torch.stack([self.row(s, t) for s, t in zip(steps, totals, strict=True)])
        return BaseRow(*torch.split(rows, _WIDTHS, dim=1))

    def alike(self, step: int, total_steps: int | None, n_members: int) -> BaseRow:
        """Return the row of a step for P members that are all at it."""
        row = self.row(step, total_steps).expand(n_members, -1)
        return BaseRow(*torch.split(row, _WIDTHS, dim=1))

    def _table(self, last: int, total_steps: int | None) -> Tensor:
        """Return the rows of steps 1 to `last` at least, (S, width)."""
        key = total_steps if self._feels_length else None
        empty = torch.zeros(0, sum(_WIDTHS), dtype=torch.float64, device=self._device)
        table = self._tables.setdefault(key, empty)
        if last > len(table):
            end = max(last, len(table) + min(_CHUNK, max(4, len(table))))
            made = [self._row(step, total_steps) for step in range(len(table) + 1, end + 1)]
            there = torch.tensor(made, dtype=torch.float64).to(self._device)
            self._tables[key] = torch.cat([table, there])
        return self._tables[key]

    def _row(self, step: int, total_steps: int | None) -> list[float]:
        base = step_numbers(self._base, step, total_steps=total_steps)
        full = step_numbers(self._full, step, total_steps=total_steps)
        lr = self._full.lr * self._full.lr_scale(step - 1, total_steps)
        correction = 1 - self._full.beta1**step if self._full.bias_correction else 1.0
        return [*base[: _D + 1], *full[_D + 1 :], *full[:_D], lr, 1 / correction]


class Mixer:
    """Where the K mixes stand among the directions, and what they are divided by.

    Args:
        mixes: Names of directions.
        device: Where answers are.
    """

    def __init__(self, mixes: Sequence[str], device: torch.device) -> None:
        names = [term.name for term in DIRECTIONS]
        sized = ["", "g", "m"]
        places = torch.zeros(len(mixes), _D + 1, dtype=torch.float64)
        scales = torch.zeros(len(sized), len(mixes), dtype=torch.float64)
        for k, mix in enumerate(mixes):
            places[k, names.index(mix)] = 1
            scales[sized.index(_SIZED.get(mix, "")), k] = 1
        self._places, self._scales = places.to(device), scales.to(device)
        reached = places.any(dim=0)
        dense = reached.clone()
        dense[-1] = True
        self._reached, self._reached_dense = reached.to(device), dense.to(device)
        self._is_sized = any(mix in _SIZED for mix in mixes)

    def added(self, mix: Tensor, sizes: Mapping[str, Tensor]) -> Tensor:
        """Return what is added to the coefficients of directions, (P, T, D + 1), float64.

        Args:
            mix: (P, T, K).
            sizes: Root mean squares of gradients "g" and their averages "m", (P, T); a direction
                whose size is 0 is 0.
        """
        mix = mix.double()
        if self._is_sized:
            found = torch.stack([torch.ones_like(sizes["g"]), sizes["g"], sizes["m"]], dim=-1)
            inverse = torch.where(found > 0, 1 / found.clamp(min=1e-30), 0.0)
            mix = mix * (inverse.double() @ self._scales)
        return mix @ self._places

    def confined(self, steps: Tensor, base: Tensor, *, has_direction: bool) -> Tensor:
        """Return coefficients that are 0 where neither the base nor an answer reaches.

        An answer that is no number would stand everywhere else, and the step would read averages
        that nobody keeps.

        Args:
            steps: (P, T, D + 1).
            base: Those of the base, of the same shape or one that becomes it.
            has_direction: Whether the answer has a dense direction.
        """
        reached = self._reached_dense if has_direction else self._reached
        return torch.where(reached | (base != 0), steps, 0.0)


def answered_numbers(
    answer: Answer, base: BaseRow, sizes: Mapping[str, Tensor], mixer: Mixer
) -> Tensor:
    """Return the numbers of a step, (P, T, n), float64.

    Args:
        answer: With members first: log_lr (P, T), mix (P, T, K), share (P, T).
        base: Of the step.
        sizes: Root mean squares of gradients "g" and their averages "m", (P, T).
        mixer: Of the controller's mixes.
    """
    log_lr = answer.log_lr.double().unsqueeze(-1)
    added = mixer.added(answer.mix, sizes)
    if answer.direction is not None:
        share = torch.ones_like(log_lr) if answer.share is None else answer.share.unsqueeze(-1)
        added = torch.cat([added[..., :-1], share.double()], dim=-1)
    steps, rest = base.numbers[:, None, : _D + 1], base.numbers[:, None, _D + 1 :]
    answered = torch.addcmul(steps, base.unit[:, None], added) * log_lr.exp()
    steps = mixer.confined(answered, steps, has_direction=answer.direction is not None)
    rest = rest.expand(-1, steps.shape[1], -1)
    decay = rest[..., :1] + (rest[..., :1] - 1) * log_lr.expm1()
    return torch.cat([steps, decay, rest[..., 1:]], dim=-1)


assert NUMBERS[_D + 1] == "decay"

"""Constant coefficients of a stack some of whose members have updates that are computed outside.

Shape legend: P members of T tensors, n numbers of a step.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.optimizers._dense import basis_of
from optuna_evo.optimizers._dense import dense_direction
from optuna_evo.optimizers._dense import needs_basis
from optuna_evo.optimizers._dense import structure_of
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.rules import is_outside
from optuna_evo.rules import Layout
from optuna_evo.rules import matrix_numbers
from optuna_evo.rules import Observation
from optuna_evo.rules import per_member
from optuna_evo.rules import Rule
from optuna_evo.rules import step_numbers
from optuna_evo.rules import unit_numbers


__all__ = ["DenseConstant"]

Member = tuple[Rule, int | None, Mapping[str, float]]
"""A rule, the length of its run, the scalars that it runs with."""


class DenseConstant:
    """`DirectedCoefficients` of genomes.

    Args:
        members: Their rules.
        layout: Shapes of the T tensors.
        hidden: Which of them are hidden matrices.
        device: Where.
    """

    def __init__(
        self,
        members: Sequence[Member],
        layout: Layout,
        hidden: Sequence[bool],
        device: torch.device,
    ) -> None:
        self._members, self._device = list(members), device
        self._layout, self._hidden = layout, list(hidden)
        self._bases: dict[int, dict[str, Tensor]] = {}  # by the number of the tensor

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        """Return updates before the learning rate, 0 where none is computed outside."""
        return [self._direction(t, step, seen) for t in range(len(self._layout))]

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the numbers of a step, (P, T, n)."""
        both = [
            torch.tensor(
                [
                    step_numbers(rule, step, total_steps=total, settings=settings, hidden=hidden)
                    for rule, total, settings in self._members
                ],
                dtype=torch.float64,
            )
            for hidden in (False, True)
        ]
        return torch.stack([both[hidden] for hidden in self._hidden], dim=1).to(self._device)

    def select(self, index: Tensor) -> None:
        """Go on with the members of these numbers only."""
        self._members = [self._members[row] for row in index.tolist()]
        self._bases = {
            t: {key: value[index] for key, value in basis.items()}
            for t, basis in self._bases.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the bases, by the numbers of tensors."""
        return {"bases": {t: dict(basis) for t, basis in self._bases.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from them."""
        if state.keys() != {"bases"}:
            raise ValueError(f"A state of genomes holds `bases` alone, got {sorted(state)}.")
        self._bases = {
            t: {key: value.clone() for key, value in basis.items()}
            for t, basis in state["bases"].items()
        }

    def _direction(self, t: int, step: int, seen: Observation) -> Tensor:
        hidden, wide = self._hidden[t], average_dtype(seen.params[t].dtype)
        groups: dict[Any, list[int]] = {}
        for row, (rule, *_) in enumerate(self._members):
            if is_outside(rule, hidden=hidden):
                groups.setdefault(structure_of(rule), []).append(row)
        if len(groups) == 1 and len(*groups.values()) == len(self._members):
            return self._of_alike(t, step, seen, slice(None), wide)
        found = torch.zeros_like(seen.params[t], dtype=wide)
        for rows in groups.values():
            index = torch.tensor(rows, device=self._device)
            found[index] = self._of_alike(t, step, seen, index, wide)
        return found

    def _of_alike(
        self, t: int, step: int, seen: Observation, index: Any, wide: torch.dtype
    ) -> Tensor:
        """Return the updates of members of one structure, those of `index`."""
        rows = range(len(self._members))[index] if isinstance(index, slice) else index.tolist()
        members, hidden = [self._members[row] for row in rows], self._hidden[t]
        rule = members[0][0]
        w, g = (x[t][index].to(wide) for x in (seen.params, seen.grads))

        averages = {symbol: x[t][index] for symbol, x in seen.averages.items()}
        if hidden:
            w, g = w.flatten(2), g.flatten(2)
            averages = {symbol: x.flatten(2) for symbol, x in averages.items()}

        def columns(table: Sequence[Sequence[float]]) -> list[Tensor]:
            at_once = torch.tensor(table, dtype=torch.float64).to(self._device, wide)
            return [per_member(column, w) for column in at_once.unbind(1)]

        steps = [(rule, settings) for rule, _, settings in members]
        basis = self._basis(t, wide) if needs_basis(rule, hidden=hidden) else None
        own = basis and {key: value[index] for key, value in basis.items()}
        update = dense_direction(
            rule,
            w,
            g,
            averages,
            columns([unit_numbers(r, step, settings=s, hidden=hidden) for r, s in steps]),
            step=step,
            hidden=hidden,
            matrix=columns([matrix_numbers(r, step, settings=s) for r, s in steps]),
            basis=own,
            norm_bound=columns([[r.norm_bound or 0.0] for r, _ in steps])[0],
        )
        if basis is not None and own is not None and not isinstance(index, slice):
            for key, value in basis.items():
                value[index] = own[key]
        return update.reshape(len(rows), *self._layout[t])

    def _basis(self, t: int, wide: torch.dtype) -> dict[str, Tensor]:
        """Return the bases of the members for a tensor, which begin as 0."""
        if t not in self._bases:
            like = torch.empty(0, dtype=wide, device=self._device)
            self._bases[t] = basis_of(self._layout[t], like, lead=[len(self._members)])
        return self._bases[t]

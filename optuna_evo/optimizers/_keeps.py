"""What the state of a parameter holds beside the number of its steps."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.optimizers._buckets import STATES
from optuna_evo.optimizers._dense import BASIS
from optuna_evo.optimizers._dense import basis_of
from optuna_evo.optimizers._dense import needs_basis
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._roles import hidden_in_groups
from optuna_evo.rules import Needs
from optuna_evo.rules import Rule
from optuna_evo.rules import UpdateRule


__all__ = ["Keeps"]


class Keeps:
    """The averages, and the basis of a hidden matrix, that a rule reads.

    Args:
        rule: A genome's rule, or any other one, which has no hidden matrices.
    """

    def __init__(self, rule: Rule | UpdateRule) -> None:
        self._rule = rule
        self._has_matrix = isinstance(rule, Rule) and rule.has_matrix

    def averages(self, *, hidden: bool) -> Needs:
        """Return the averages of a parameter."""
        rule = self._rule
        return rule.needs_of(hidden=hidden) if isinstance(rule, Rule) else rule.needs

    def of(self, p: Tensor, *, hidden: bool) -> dict[str, Tensor]:
        """Return the tensors of a parameter as they begin, 0, by their names in its state."""
        wide = average_dtype(p.dtype)
        kept = {
            STATES[symbol]: torch.zeros_like(p, dtype=wide)
            for symbol in self.averages(hidden=hidden)
        }
        if isinstance(self._rule, Rule) and needs_basis(self._rule, hidden=hidden):
            if type(p) not in (Tensor, nn.Parameter):
                raise RuntimeError(
                    f"SOAP needs whole matrices, got a {type(p).__name__}: give its parameter "
                    'group `role`="elementwise", or shard no hidden matrices.'
                )
            basis = basis_of(p.shape, torch.empty(0, dtype=wide, device=p.device))
            kept |= {BASIS[key]: value for key, value in basis.items()}
        return kept

    def hidden(self, groups: Sequence[Mapping[str, Any]]) -> set[int]:
        """Return the ids of the parameters that matrix terms move."""
        return hidden_in_groups(groups) if self._has_matrix else set()

    def names(self, groups: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Return the names of what each parameter of the groups has."""
        hidden = self.hidden(groups)
        params = [p for group in groups for p in group["params"]]
        return [sorted(self.of(p.detach().to("meta"), hidden=id(p) in hidden)) for p in params]

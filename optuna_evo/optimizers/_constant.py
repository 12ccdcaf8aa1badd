"""The update rule of genomes: coefficients are constant, so the numbers of all steps are known."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from typing import Any

import torch
from torch import Tensor

from optuna_evo.optimizers._dense_stack import DenseConstant
from optuna_evo.optimizers._dense_stack import Member
from optuna_evo.optimizers._roles import hidden_of_layout
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs
from optuna_evo.rules import Observation
from optuna_evo.rules import Rule
from optuna_evo.rules import step_numbers


__all__ = ["ConstantRule"]


class ConstantRule:
    """An `UpdateRule` of constant coefficients, for each member its own.

    Args:
        rules: One for each member: `[config.genome.rule for config in configs]`.
        total_steps: Length of each member's run; None: all have the one that they are started for.
        hidden: Which tensors are hidden matrices; None: by their shapes.

    Example:
        >>> rule = ConstantRule([catalog["adamw"].rule, catalog["sgd"].rule])
        >>> coefficients = rule.start([(3, 2)], 2, 100, torch.device("cpu"))
        >>> coefficients.numbers(1, None).shape[:2]
        torch.Size([2, 1])
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        total_steps: Sequence[int | None] | None = None,
        hidden: Sequence[bool] | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._total_steps = total_steps
        self._hidden = hidden

    @property
    def observes(self) -> bool:
        """Whether an update of any member is no elementwise function of gradient and averages."""
        return any(rule.is_dense for rule in self._rules)

    @property
    def needs(self) -> Needs:
        """The averages that any member reads."""
        return frozenset[str]().union(*(rule.needs for rule in self._rules))

    def fingerprint(self) -> str:
        """Return 16 hex digits of the members' fingerprints."""
        text = ",".join(rule.fingerprint() for rule in self._rules)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> "_Constant | DenseConstant":
        """Return the numbers of all steps, computed when they are asked for."""
        if n_members != len(self._rules):
            raise ValueError(f"There are {len(self._rules)} rules for {n_members} members.")
        lengths = self._total_steps or [total_steps] * n_members
        settings = map(_settings, self._rules)
        members: list[Member] = [*zip(self._rules, lengths, settings, strict=True)]
        if not self.observes:
            return _Constant(members, device)
        hidden = hidden_of_layout(layout) if self._hidden is None else self._hidden
        return DenseConstant(members, layout, hidden, device)


def _settings(rule: Rule) -> dict[str, float]:
    """Return the scalars of a member; where it reads no eps, one that divides nothing by zero.

    Its coefficient of a term that others divide is 0, and 0 times infinity would not be.
    """
    return {**rule.settings(), "eps": rule.eps or 1.0}


class _Constant:
    """The `Coefficients` of a `ConstantRule`."""

    def __init__(self, members: list[Member], device: torch.device) -> None:
        self._members = members
        self._device = device

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        rows = [
            step_numbers(rule, step, total_steps=length, settings=settings)
            for rule, length, settings in self._members
        ]
        return torch.tensor(rows, dtype=torch.float64, device=self._device).unsqueeze(1)

    def select(self, index: Tensor) -> None:
        self._members = [self._members[member] for member in index.tolist()]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            raise ValueError(f"Constant coefficients have no state, got {sorted(state)}.")

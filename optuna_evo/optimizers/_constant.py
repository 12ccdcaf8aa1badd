"""The update rule of genomes: coefficients are constant, so the numbers of all steps are known."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from typing import Any

import torch
from torch import Tensor

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

    Example:
        >>> rule = ConstantRule([catalog["adamw"].rule, catalog["sgd"].rule])
        >>> coefficients = rule.start([(3, 2)], 2, 100, torch.device("cpu"))
        >>> coefficients.numbers(1, None).shape[:2]
        torch.Size([2, 1])
    """

    observes = False

    def __init__(
        self, rules: Sequence[Rule], *, total_steps: Sequence[int | None] | None = None
    ) -> None:
        self._rules = tuple(rules)
        self._total_steps = total_steps

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
    ) -> "_Constant":
        """Return the numbers of all steps, computed when they are asked for."""
        if n_members != len(self._rules):
            raise ValueError(f"There are {len(self._rules)} rules for {n_members} members.")
        lengths = self._total_steps or [total_steps] * n_members
        return _Constant([*zip(self._rules, lengths, strict=True)], device)


def _settings(rule: Rule) -> dict[str, float]:
    """Return the scalars of a member; where it reads no eps, one that divides nothing by zero.

    Its coefficient of a term that others divide is 0, and 0 times infinity would not be.
    """
    return {**rule.settings(), "eps": rule.eps or 1.0}


class _Constant:
    """The `Coefficients` of a `ConstantRule`."""

    def __init__(self, members: list[tuple[Rule, int | None]], device: torch.device) -> None:
        self._members = members
        self._device = device

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        rows = [
            step_numbers(rule, step, total_steps=length, settings=_settings(rule))
            for rule, length in self._members
        ]
        return torch.tensor(rows, dtype=torch.float64, device=self._device).unsqueeze(1)

    def select(self, index: Tensor) -> None:
        self._members = [self._members[member] for member in index.tolist()]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            raise ValueError(f"Constant coefficients have no state, got {sorted(state)}.")

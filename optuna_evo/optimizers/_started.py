"""An update rule as it runs for one parameter group: one member, T tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._scale import scale_steps
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DirectedCoefficients
from optuna_evo.rules import Observation
from optuna_evo.rules import UpdateRule


__all__ = ["Plan", "StartedRule"]


class Plan:
    """What one step does to the parameters of a group."""

    def __init__(
        self, params: list[Tensor], numbers: Tensor, directions: list[Tensor] | None
    ) -> None:
        self._numbers = numbers  # (1 or T, n)
        self._at = {id(p): t for t, p in enumerate(params)}
        self._directions = directions

    def numbers(self, params: list[Tensor]) -> Tensor:
        """Return one row for each parameter, or one for all."""
        device = params[0].device
        there = self._numbers if device.type == "meta" else self._numbers.to(device)
        places = [self._at[id(p)] for p in params]
        # an index that is sent to a GPU would be waited for
        is_whole = places == [*range(len(there))]
        return there if len(there) == 1 or is_whole else there[places]

    def directions(self, params: list[Tensor]) -> list[Tensor] | None:
        """Return the dense direction of each parameter, if the rule has some."""
        if self._directions is None:
            return None
        return [self._directions[self._at[id(p)]] for p in params]


class StartedRule:
    """A rule with its coefficients over the tensors of a group.

    Args:
        rule: The rule.
        group: A parameter group.
    """

    def __init__(self, rule: UpdateRule, group: Mapping[str, Any]) -> None:
        self._needs, self._observes = rule.needs, rule.observes
        params = group["params"]
        layout = [tuple(p.shape) for p in params]
        # numbers are read, and nothing can be on the meta device
        device = torch.device("cpu") if params[0].is_meta else params[0].device
        self._coefficients = rule.start(layout, 1, group["total_steps"], device)

    def plan(self, group: Mapping[str, Any], state: Mapping[Tensor, Any]) -> Plan:
        """Return what the next step does.

        Args:
            group: The parameter group.
            state: The averages by parameter, as the optimizer keeps them.
        """
        params, step = group["params"], int(group["schedule_step"]) + 1
        seen, directions = None, None
        if self._observes:
            seen = self._observe(group, state)
            if isinstance(self._coefficients, DirectedCoefficients):
                directions = [
                    d.squeeze(0).to(p.device, average_dtype(p.dtype))
                    for d, p in zip(self._coefficients.directions(step, seen), params, strict=True)
                ]
        numbers = self._coefficients.numbers(step, seen)[0]
        if group["lr"] != 1:
            numbers = scale_steps(numbers, float(group["lr"]))
        return Plan(params, numbers, directions)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the coefficients."""
        return self._coefficients.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._coefficients.load_state_dict(state)

    def _observe(self, group: Mapping[str, Any], state: Mapping[Tensor, Any]) -> Observation:
        """Return views (1, *shape) of what there is; 0 stands for what a parameter lacks."""
        params = group["params"]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        if group["maximize"]:
            grads = [-g for g in grads]
        averages = {
            symbol: [
                state[p][AVERAGES[symbol].state] if p in state else torch.zeros_like(p)
                for p in params
            ]
            for symbol in AVERAGES
            if symbol in self._needs
        }
        return Observation(
            params=[p.detach().unsqueeze(0) for p in params],
            grads=[g.unsqueeze(0) for g in grads],
            averages={s: [a.unsqueeze(0) for a in tensors] for s, tensors in averages.items()},
        )

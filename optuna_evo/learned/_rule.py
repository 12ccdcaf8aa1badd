"""A controller as an update rule: one for all members of a stack, or weights for each.

Shape legend: P members, T tensors, N elements in all.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned._answers import answers
from optuna_evo.learned._answers import as_used
from optuna_evo.learned._answers import AT
from optuna_evo.learned._answers import on_device
from optuna_evo.learned._answers import single
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._numbers import answered_numbers
from optuna_evo.learned._numbers import Base
from optuna_evo.learned._numbers import BaseRow
from optuna_evo.learned._numbers import Mixer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import split
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import Sample
from optuna_evo.learned._statistics import static_statistics
from optuna_evo.learned._statistics import statistics
from optuna_evo.learned._statistics import time_features
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs
from optuna_evo.rules import Observation
from optuna_evo.rules import TermType


__all__ = ["ControllerRule", "Run"]


class ControllerRule:
    """An `UpdateRule` whose coefficients a controller computes.

    Args:
        controller: The network; with zeros for answers its steps are its base genome's, bit for
            bit.
        weights: Weights of its own for each member, by the names of the controller's parameters,
            (P, ...) each; None: all members have the controller's.
        total_steps: Length of each member's run; None: all have the one that they are started for.
        sample_size: Most elements of a tensor that statistics are made of.

    Example:
        >>> rule = ControllerRule(MLPController())
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    observes = True

    def __init__(
        self,
        controller: Controller,
        *,
        weights: Mapping[str, Tensor] | None = None,
        total_steps: Sequence[int | None] | None = None,
        sample_size: int = 256,
    ) -> None:
        self.controller, self.weights = controller, weights
        self.total_steps, self.sample_size = total_steps, sample_size

    @property
    def needs(self) -> Needs:
        """M and v, and what the base genome, the mixes and the controller read."""
        mixes = [item for mix in self.controller.mixes for item in TermType[mix].row.reads]
        read = self.controller.genome.rule.needs | self.controller.needs | {"m", "v"}
        return read | {item for item in mixes if item == "s"}

    def fingerprint(self) -> str:
        """Return 16 hex digits of kind, settings and weights."""
        controller = self.controller
        head = [controller.kind, controller.settings, self.sample_size]
        text = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        weights = dict(controller.named_parameters()) if self.weights is None else self.weights
        for name in sorted(weights):
            text.update(name.encode())
            text.update(weights[name].detach().cpu().contiguous().float().numpy().tobytes())
        return text.hexdigest()[:16]

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> "Run":
        """Return the coefficients of a run from its beginning.

        Raises:
            UsageError: If the controller needs `total_steps` and there is none, or there are
                weights for another number of members (a ValueError).
        """
        totals = list(self.total_steps or [total_steps] * n_members)
        for total in totals:
            self.check_length(total)
        own = {len(w) for w in (self.weights or {}).values()} | {len(totals)}
        if own != {n_members}:
            raise UsageError(
                f"Weights and `total_steps` must be there for each of {n_members} members, got "
                f"{sorted(own - {n_members})}."
            )
        kind = _DirectedRun if self.controller.has_direction else Run
        return kind(self, layout, totals, device)

    def check_length(self, total_steps: int | None) -> None:
        """Raise a UsageError where the controller needs the length of a run, and it is None."""
        cosine = self.controller.genome.rule.needs_length
        if total_steps is None and (self.controller.needs_total_steps or cosine):
            why = "sees how far a run is" if not cosine else "has a base that decays to the end"
            raise UsageError(
                f"The controller {self.controller.kind!r} {why}: say the length of the run by "
                "`total_steps=...`."
            )


class Run:
    """The `Coefficients` of a `ControllerRule`.

    Members may be at different steps: `restart` begins the runs of some of them anew.
    """

    def __init__(
        self,
        rule: ControllerRule,
        layout: Layout,
        totals: Sequence[int | None],
        device: torch.device,
    ) -> None:
        self._controller = on_device(rule.controller, device)
        self._layout, self._device = [tuple(shape) for shape in layout], device
        self._weights = rule.weights and {n: single(w).to(device) for n, w in rule.weights.items()}
        self._mixer = Mixer(rule.controller.mixes, device)
        self._sample = Sample(layout, rule.sample_size, device)
        self._static = static_statistics(layout).to(device)
        self._bases = Base(rule.controller.genome, device)
        self._totals = list(totals)
        self._started_at = [0] * len(totals)  # the step after which a member began
        self._clip = rule.controller.genome.rule.clip_value
        self._fresh = {n: single(t) for n, t in rule.controller.start(self._layout).items()}
        self._state: State = {
            name: value.to(device).expand(len(totals), *value.shape).clone()
            for name, value in self._fresh.items()
        }
        self._told: Tensor | None = None
        self._dtype = next(self._controller.parameters()).dtype
        self._note()

    @property
    def state(self) -> State:
        """The controller's state, members first."""
        return self._state

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the numbers of a step, and go on to the next."""
        assert seen is not None
        with torch.no_grad():
            numbers, _, self._state = self.evaluate(step, seen)
        return numbers

    def evaluate(
        self,
        step: int,
        seen: Observation,
        *,
        weights: Mapping[str, Tensor] | None = None,
        state: State | None = None,
    ) -> tuple[Tensor, Tensor | None, State]:
        """Return numbers (P, T, n), dense directions (P, N) and state after a step.

        It changes nothing, and what it returns can be differentiated with respect to weights,
        state and what is seen.

        Args:
            step: Number of the step, counted from 1.
            seen: What is observed.
            weights: In place of the rule's; (P, ...) each.
            state: In place of the run's.
        """
        base = self._base(step)
        changing, sizes = self._statistics(seen, base)
        n_members = len(changing)
        rows = torch.cat([changing, self._static.expand(n_members, -1, -1)], dim=-1)
        whole = self._whole(seen, base) if self._controller.sees == "whole" else {}
        steps = (step - self._begun).float()
        time = time_features(steps, self._total_steps)
        own = self._weights if weights is None else weights
        dtype = self._dtype if own is None else next(iter(own.values())).dtype
        read = (rows.to(dtype), time.to(dtype), {name: x.to(dtype) for name, x in whole.items()})
        answer, after = answers(
            self._controller,
            Reading(self._layout, steps, self._total_steps, *read),
            self._state if state is None else state,
            own,
        )
        return answered_numbers(answer, base, sizes, self._mixer), answer.direction, after

    def restart(
        self, members: Sequence[int], step: int, *, total_steps: Sequence[int] | None = None
    ) -> None:
        """Begin the runs of some members anew.

        Args:
            members: Their numbers.
            step: The steps done so far: the next one is their first.
            total_steps: Length of each of their new runs; None: as it was.
        """
        if not members:
            return
        index = torch.tensor(members, device=self._device)
        self._state = {
            name: value.index_copy(
                0, index, self._fresh[name].to(value).expand(len(members), *value.shape[1:])
            )
            for name, value in self._state.items()
        }
        for member in members:
            self._started_at[member] = step
        for member, total in zip(members, total_steps or (), strict=False):
            self._totals[member] = total
        self._note()

    def select(self, index: Tensor) -> None:
        """Go on with the members of these numbers only."""
        rows = index.tolist()
        if self._weights is not None:
            self._weights = {name: w[index] for name, w in self._weights.items()}
        self._state = {name: value[index] for name, value in self._state.items()}
        self._totals = [self._totals[row] for row in rows]
        self._started_at = [self._started_at[row] for row in rows]
        self._note()

    def state_dict(self) -> dict[str, Any]:
        """Return the controller's state, and when and for how long the runs of members began."""
        return {
            "state": dict(self._state),
            "started_at": list(self._started_at),
            "total_steps": list(self._totals),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        if {*state["state"]} != {*self._state}:
            raise UsageError(
                f"The state is of another controller: it holds {sorted(state['state'])}, this one "
                f"has {sorted(self._state)}."
            )
        self._state = {
            n: value.to(self._state[n], copy=True) for n, value in state["state"].items()
        }
        self._started_at = list(state["started_at"])
        self._totals = list(state["total_steps"])
        self._note()

    def _note(self) -> None:
        """Send to the device what changes seldom."""
        totals = [float(total or 0) for total in self._totals]
        self._total_steps = torch.tensor(totals, dtype=torch.float32).to(self._device)
        self._begun = torch.tensor(self._started_at).to(self._device)
        self._alike = len({*self._totals}) == 1 and len({*self._started_at}) == 1

    def _base(self, step: int) -> BaseRow:
        if self._alike:
            own = step - self._started_at[0]
            return self._bases.alike(own, self._totals[0], len(self._totals))
        own_steps = [step - start for start in self._started_at]
        return self._bases.rows(own_steps, self._totals, step - self._begun)

    def _statistics(self, seen: Observation, base: BaseRow) -> tuple[Tensor, dict[str, Tensor]]:
        if seen.flat is not None:
            flat = seen.flat
            sample = self._sample.take_flat([flat[s] for s in ("grads", "params", "m", "v")])
        else:
            m, v = seen.averages["m"], seen.averages["v"]
            sample = self._sample.take([seen.grads, seen.params, m, v])
        if self._clip is not None:
            sample = torch.cat([sample[:1].clamp(-self._clip, self._clip), sample[1:]])
        names = ("m_share", "v_decay", "v_share", "rms_scale")
        shares = {name: base.numbers[:, AT[name]] for name in names}
        return statistics(
            sample, self._sample.inverse, shares | {"correction_m": base.correction_m[:, 0]}
        )

    def _whole(self, seen: Observation, base: BaseRow) -> dict[str, Tensor]:
        if seen.flat is not None:
            flat = {name: _at_least_float32(buffer) for name, buffer in seen.flat.items()}
        else:
            columns = {"grads": seen.grads, "params": seen.params, **seen.averages}
            flat = {
                name: _at_least_float32(torch.cat([t.reshape(len(t), -1) for t in column], dim=1))
                for name, column in columns.items()
            }
        return as_used(flat, base, self._clip)


class _DirectedRun(Run):
    """The same for controllers that have a direction of their own."""

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        """Return the dense directions (P, *shape); `numbers` of this step is asked for next."""
        with torch.no_grad():
            self._told, direction, self._state = self.evaluate(step, seen)
        assert direction is not None
        return split(direction, self._layout)

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the numbers that belong to the directions."""
        assert self._told is not None
        return self._told


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))

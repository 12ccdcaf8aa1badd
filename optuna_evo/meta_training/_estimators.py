"""Estimators of the meta-gradient: persistent and full evolution strategies.

Each has two halves: `evaluate` trains what belongs to this process and returns scalars, `gradient`
makes the estimate of the scalars of all. So workers need to tell each other scalars only.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._episodes import Episodes
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._particles import PairStack
from optuna_evo.meta_training._spec import MetaSpec


__all__ = ["Estimate", "Estimator", "EvolutionStrategies", "Scalars", "StackState"]

Scalars = Mapping[int, Tensor]
"""What stacks found, by their numbers: mean meta-loss and whether all were finite, (n, 2, 2)."""

StackState = tuple[dict[str, Tensor], dict[str, Any]]


class Estimate(NamedTuple):
    """An estimate of the meta-gradient.

    Args:
        gradient: (D,).
        meta_loss: Mean over all members.
        n_diverged: Members with a loss that is not finite.
        n_members: All members.
    """

    gradient: Tensor
    meta_loss: float
    n_diverged: int
    n_members: int


class Estimator(Protocol):
    """What the outer loop needs of an estimator."""

    def evaluate(self, theta: Tensor, outer_step: int, domain: int) -> Scalars:
        """Train the stacks of this process in this domain, and return what they found."""
        ...

    def gradient(self, scalars: Scalars) -> Estimate:
        """Return the estimate of the scalars of all stacks of the domain."""
        ...

    def shared_state(self) -> StackState:
        """Return what every process knows."""
        ...

    def stack_states(self) -> Mapping[int, StackState]:
        """Return the state of each stack of this process."""
        ...

    def load(self, shared: StackState, stack_state: Callable[[int], StackState | None]) -> None:
        """Go on from a state.

        Args:
            shared: What `shared_state` returned.
            stack_state: Returns the state of a stack by its number; None: it has not begun.
        """
        ...


class EvolutionStrategies:
    """PES, or full ES, over stacks of antithetic pairs.

    Args:
        spec: The meta-training.
        controller: Says kind and settings.
        families: One for each domain.
        device: Where to train.
        is_own: Tells whether a stack, by its number, is trained in this process.
    """

    def __init__(
        self,
        spec: MetaSpec,
        controller: Controller,
        families: Sequence[TaskFamily],
        *,
        n_meta: int,
        device: torch.device,
        is_own: Callable[[int], bool],
    ) -> None:
        self._spec, self._controller, self._families = spec, controller, families
        self._n_meta, self._device, self._is_own = n_meta, device, is_own
        self._n_stacks = spec.outer.stacks
        is_full = spec.outer.estimator == "full_es"
        self._episodes = [
            Episodes(
                n_pairs=spec.outer.pairs // spec.outer.stacks,
                n_meta=n_meta,
                seed=spec.seed,
                stack=number,
                horizons=spec.horizon,
                truncation=None if is_full else spec.outer.truncation,
                std=spec.outer.perturbation,
            )
            for number in range(len(families) * self._n_stacks)
        ]
        self._stacks: dict[int, PairStack] = {}
        self._now: Sequence[int] = ()  # stacks of the outer step

    def evaluate(self, theta: Tensor, outer_step: int, domain: int) -> Scalars:
        """Train the stacks of this process in this domain, and return what they found."""
        self._now = range(domain * self._n_stacks, (domain + 1) * self._n_stacks)
        found = {}
        for number in self._now:
            episodes = self._episodes[number]
            beginnings = episodes.begin(outer_step)
            if not self._is_own(number):
                continue
            if number in self._stacks:
                self._stacks[number].begin(beginnings)
            else:
                self._stacks[number] = self._new(number, beginnings)
            found[number] = self._stacks[number].advance(theta, episodes.eps, episodes.n_steps)
        return found

    def gradient(self, scalars: Scalars) -> Estimate:
        """Return the mean of the stacks' estimates; pairs that diverged begin anew."""
        estimates, diverged = [], 0
        for number in self._now:
            losses, finite = scalars[number].unbind(-1)
            estimates.append(self._episodes[number].gradient(losses))
            bad = (finite == 0).any(dim=1)
            diverged += int((finite == 0).sum())
            self._episodes[number].end([i for i, is_bad in enumerate(bad.tolist()) if is_bad])
        values = torch.cat([scalars[number][..., 0].reshape(-1) for number in self._now])
        gradient = torch.stack(estimates).mean(0)
        return Estimate(gradient, float(values.mean()), diverged, len(values))

    def shared_state(self) -> StackState:
        """Return the episodes of all stacks."""
        tensors, plain = {}, {}
        for number, episodes in enumerate(self._episodes):
            own, plain[str(number)] = episodes.state()
            tensors |= {f"{number}.{name}": t for name, t in own.items()}
        return tensors, plain

    def stack_states(self) -> Mapping[int, StackState]:
        """Return the state of each stack that this process has begun."""
        return {number: stack.state() for number, stack in self._stacks.items()}

    def load(self, shared: StackState, stack_state: Callable[[int], StackState | None]) -> None:
        """Go on from a state."""
        tensors, plain = shared
        for number, episodes in enumerate(self._episodes):
            start = f"{number}."
            own = {n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)}
            episodes.load(own, plain[str(number)])
            if not self._is_own(number) or (stored := stack_state(number)) is None:
                continue
            n_pairs = self._spec.outer.pairs // self._n_stacks
            totals = stored[1]["totals"][::2]
            # tasks are overwritten by the stored ones; these only give the buffers their shapes
            blank = [Beginning(pair, 0, totals[pair]) for pair in range(n_pairs)]
            self._stacks[number] = self._new(number, blank)
            self._stacks[number].load(*stored)

    def _new(self, number: int, beginnings: Sequence[Beginning]) -> PairStack:
        return PairStack(
            self._controller,
            self._families[number // self._n_stacks],
            beginnings,
            n_meta=self._n_meta,
            meta_loss=self._spec.meta_loss,
            device=self._device,
        )

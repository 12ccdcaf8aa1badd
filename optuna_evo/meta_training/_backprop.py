"""Truncated backpropagation through unrolled inner trainings.

The step is a function of weights and averages here, so gradients flow from the meta-losses to the
meta-parameters. As usual (arXiv:1606.04474), gradients of inner losses count as constants unless
`second_order` is asked for; then the meta-gradient of a truncation is exact.

Shape legend: M members, T tensors with N weights in all, n numbers of a step, D meta-parameters.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import split
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._episodes import Episodes
from optuna_evo.meta_training._estimators import Estimate
from optuna_evo.meta_training._estimators import Scalars
from optuna_evo.meta_training._estimators import StackState
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._flat import unflattened
from optuna_evo.meta_training._objective import MetaLoss
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.optimizers import functional_update
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import Observation


__all__ = ["TruncatedBackprop", "Unrolled"]


class Unrolled:
    """Inner trainings of one family whose steps can be differentiated.

    Args:
        controller: Says kind and settings.
        family: Where tasks come from.
        beginnings: The first training of each of the M members.
        meta_loss: What an inner step is worth.
        second_order: Whether gradients of gradients count.
        device: Where to train.
        dtype: Type of the weights.
    """

    def __init__(
        self,
        controller: Controller,
        family: TaskFamily,
        beginnings: Sequence[Beginning],
        *,
        meta_loss: MetaLoss,
        second_order: bool = False,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._controller, self._family, self._meta_loss = controller, family, meta_loss
        self._second_order, self._device = second_order, torch.device(device)
        self._layout = [tuple(shape) for shape in family.layout]
        self._totals = [b.total_steps for b in beginnings]
        self._rule = ControllerRule(controller, total_steps=self._totals)
        self._run = self._rule.start(self._layout, len(beginnings), None, self._device)
        self._tasks = family.sample([b.task_seed for b in beginnings], self._device)
        self.weights = self._tasks.init.to(dtype)
        self._averages = {
            s: torch.zeros_like(self.weights) for s in AVERAGES if s in self._rule.needs
        }
        self._step = torch.zeros(len(beginnings), dtype=torch.long, device=self._device)
        self._steps_done = 0
        self._memory = dict(self._run.state)
        self._initial = meta_loss.of(self._tasks, self.weights, self._step)
        coefficients = zip(DIRECTIONS, controller.genome.rule.coefficients, strict=True)
        self._terms = {term.name for term, c in coefficients if c} | {*controller.mixes}

    def begin(self, beginnings: Sequence[Beginning]) -> None:
        """Begin new trainings in the place of those of their members."""
        if not beginnings:
            return
        members = [b.pair for b in beginnings]
        rows = torch.tensor(members, device=self._device)
        tasks = self._family.sample([b.task_seed for b in beginnings], self._device)
        self._tasks.put(rows, tasks)
        self.weights[rows] = tasks.init.to(self.weights)
        for average in self._averages.values():
            average[rows] = 0
        self._step[rows] = 0
        self._initial[rows] = self._meta_loss.of(tasks, tasks.init, self._step[rows])
        for b in beginnings:
            self._totals[b.pair] = b.total_steps
        totals = [b.total_steps for b in beginnings]
        self._run.restart(members, self._steps_done, total_steps=totals)
        fresh = self._run.state
        self._memory = {
            name: value.index_copy(0, rows, fresh[name][rows].to(value))
            for name, value in self._memory.items()
        }

    def unroll(self, theta: Tensor, n_steps: int) -> Tensor:
        """Train on; return the mean meta-loss of each member, (M,), differentiable in theta.

        Args:
            theta: Meta-parameters, (D,), or one row for each member, (M, D).
            n_steps: Inner steps.
        """
        rows = theta if theta.ndim == 2 else theta.expand(len(self.weights), -1)
        own = unflattened(self._controller, rows.to(self._device))
        weights, averages, memory = self.weights, self._averages, self._memory
        sizes = [math.prod(shape) for shape in self._layout]
        total = torch.zeros(len(weights), dtype=torch.float64, device=self._device)
        for _ in range(n_steps):
            grads = self._gradients(weights)
            self._steps_done += 1
            seen = self._observation(weights, grads, averages)
            numbers, direction, memory = self._run.evaluate(
                self._steps_done, seen, weights=own, state=memory
            )
            weights, averages = functional_update(
                weights,
                grads,
                averages,
                numbers,
                sizes=sizes,
                terms=self._terms,
                directions=None if direction is None else direction.to(weights.dtype),
            )
            total = total + self._worth(weights)
            self._step = self._step + 1
        self.weights = weights.detach()
        self._averages = {s: average.detach() for s, average in averages.items()}
        self._memory = {name: value.detach() for name, value in memory.items()}
        return total / n_steps

    def _gradients(self, weights: Tensor) -> Tensor:
        leaf = weights if self._second_order else weights.detach()
        leaf = leaf if leaf.requires_grad else leaf.requires_grad_()
        with torch.enable_grad():
            loss = self._tasks.loss(leaf, self._step, "train")
            (grads,) = torch.autograd.grad(
                loss.sum(), leaf, create_graph=self._second_order
            )
        return grads

    def _worth(self, weights: Tensor) -> Tensor:
        losses = self._tasks.loss(weights, self._step, self._meta_loss.split).double()
        lengths = torch.tensor(self._totals, device=self._device)
        return self._meta_loss.worth(losses, self._initial, self._step + 1, lengths)

    def _observation(
        self, weights: Tensor, grads: Tensor, averages: Mapping[str, Tensor]
    ) -> Observation:
        flat = {"params": weights, "grads": grads, **averages}
        tensors = {name: split(buffer, self._layout) for name, buffer in flat.items()}
        return Observation(tensors.pop("params"), tensors.pop("grads"), tensors, flat)

    def state(self) -> StackState:
        """Return all that the trainings go on from, as tensors and plain numbers."""
        tensors = {
            "weights": self.weights,
            "step": self._step,
            "initial": self._initial,
            **{f"task.{name}": array for name, array in self._tasks.arrays.items()},
            **{f"average.{name}": average for name, average in self._averages.items()},
            **{f"memory.{name}": value for name, value in self._memory.items()},
        }
        plain = {
            "totals": [*self._totals],
            "steps_done": self._steps_done,
            "started_at": [*self._run.state_dict()["started_at"]],
        }
        return {n: t.detach().cpu().contiguous() for n, t in tensors.items()}, plain

    def load(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._totals[:] = plain["totals"]
        self._run.restart([*range(len(self._totals))], 0, total_steps=self._totals)
        known = self._run.state_dict()
        self._run.load_state_dict({**known, "started_at": [*plain["started_at"]]})
        self._steps_done = plain["steps_done"]
        there = {name: t.to(self._device) for name, t in tensors.items()}
        self.weights, self._step = there["weights"], there["step"]
        self._initial = there["initial"]
        for name, array in self._tasks.arrays.items():
            array.copy_(there[f"task.{name}"])
        self._averages = {s: there[f"average.{s}"] for s in self._averages}
        self._memory = {name: there[f"memory.{name}"] for name in self._memory}


class TruncatedBackprop:
    """The meta-gradient by truncated backpropagation, all in one process.

    Args:
        spec: The meta-training; a domain trains 2 * outer.pairs tasks.
        controller: Says kind and settings.
        families: One for each domain.
        device: Where to train.
    """

    def __init__(
        self,
        spec: MetaSpec,
        controller: Controller,
        families: Sequence[TaskFamily],
        *,
        device: torch.device,
    ) -> None:
        self._spec, self._controller, self._families = spec, controller, families
        self._device = device
        self._episodes = [
            Episodes(
                n_pairs=2 * spec.outer.pairs,
                n_meta=1,
                seed=spec.seed,
                stack=number,
                horizons=spec.horizon,
                truncation=spec.outer.truncation,
                std=1.0,
            )
            for number in range(len(families))
        ]
        self._stacks: dict[int, Unrolled] = {}
        self._found: tuple[int, Tensor] | None = None

    def evaluate(self, theta: Tensor, outer_step: int, domain: int) -> Scalars:
        """Train on in this domain, and keep the gradient."""
        beginnings = self._episodes[domain].begin(outer_step)
        if domain in self._stacks:
            self._stacks[domain].begin(beginnings)
        else:
            self._stacks[domain] = self._new(domain, beginnings)
        leaf = theta.detach().clone().requires_grad_()
        losses = self._stacks[domain].unroll(leaf, self._episodes[domain].n_steps)
        (gradient,) = torch.autograd.grad(losses.mean(), leaf)
        self._found = domain, gradient.cpu()
        finite = self._stacks[domain].weights.isfinite().all(dim=1)
        table = torch.stack([losses.detach(), finite.double()], dim=-1)
        return {domain: table.unflatten(0, (-1, 2)).cpu()}

    def gradient(self, scalars: Scalars) -> Estimate:
        """Return the gradient; tasks that diverged begin anew."""
        assert self._found is not None
        domain, gradient = self._found
        losses, finite = scalars[domain].flatten(0, 1).unbind(-1)
        bad = [i for i, is_finite in enumerate(finite.tolist()) if not is_finite]
        self._episodes[domain].end(bad)
        return Estimate(gradient, float(losses.mean()), len(bad), len(losses))

    def shared_state(self) -> StackState:
        """Return the episodes of all domains."""
        plain = {str(i): episodes.state()[1] for i, episodes in enumerate(self._episodes)}
        return {}, plain

    def stack_states(self) -> Mapping[int, StackState]:
        """Return the trainings of each domain."""
        return {domain: stack.state() for domain, stack in self._stacks.items()}

    def load(self, shared: StackState, stack_state: Callable[[int], StackState | None]) -> None:
        """Go on from a state."""
        for domain, episodes in enumerate(self._episodes):
            n = 2 * self._spec.outer.pairs
            episodes.load({"summed": torch.zeros(n, 1)}, shared[1][str(domain)])
            if (stored := stack_state(domain)) is not None:
                totals = stored[1]["totals"]
                blank = [Beginning(member, 0, totals[member]) for member in range(n)]
                self._stacks[domain] = self._new(domain, blank)
                self._stacks[domain].load(*stored)

    def _new(self, domain: int, beginnings: Sequence[Beginning]) -> Unrolled:
        return Unrolled(
            self._controller,
            self._families[domain],
            beginnings,
            meta_loss=self._spec.meta_loss,
            second_order=self._spec.outer.second_order,
            device=self._device,
        )

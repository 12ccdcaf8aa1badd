"""The inner trainings of antithetic pairs: a stack whose members have controllers of their own.

Members 2i and 2i + 1 train the same task on the same batches, by the controllers theta + eps and
theta - eps.

Shape legend: n pairs, M = 2n members, N weights of a member, D meta-parameters.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._flat import unflattened
from optuna_evo.meta_training._objective import MetaLoss
from optuna_evo.meta_training._roll import gradients
from optuna_evo.optimizers import StackOptimizer


__all__ = ["PairStack"]


class PairStack:
    """Antithetic pairs over the tasks of one family.

    Args:
        controller: Says kind and settings; its own weights are not read.
        family: Where tasks come from.
        beginnings: The first training of each of the n pairs.
        n_meta: Number of meta-parameters.
        meta_loss: What an inner step is worth.
        device: Where to train.
    """

    def __init__(
        self,
        controller: Controller,
        family: TaskFamily,
        beginnings: Sequence[Beginning],
        *,
        n_meta: int,
        meta_loss: MetaLoss,
        device: torch.device,
    ) -> None:
        n_members = 2 * len(beginnings)
        self._family, self._meta_loss, self._device = family, meta_loss, device
        self._particles = torch.zeros(n_members, n_meta, device=device)
        self._step = torch.zeros(n_members, dtype=torch.long, device=device)
        self._tasks = family.sample([b.task_seed for b in beginnings for _ in (0, 1)], device)
        self._weights = self._tasks.init.clone()
        self._totals = [b.total_steps for b in beginnings for _ in (0, 1)]
        # its weights are views of the particles, which each outer step writes anew
        weights = unflattened(controller, self._particles)
        rule = ControllerRule(controller, weights=weights, total_steps=self._totals)
        self._optimizer = StackOptimizer(
            rule, self._weights, total_steps=None, layout=family.layout
        )
        self._initial = meta_loss.of(self._tasks, self._weights, self._step)

    def begin(self, beginnings: Sequence[Beginning]) -> None:
        """Begin new trainings in the place of those of their pairs."""
        if not beginnings:
            return
        members = [2 * b.pair + side for b in beginnings for side in (0, 1)]
        totals = [b.total_steps for b in beginnings for _ in (0, 1)]
        rows = torch.tensor(members, device=self._device)
        tasks = self._family.sample(
            [b.task_seed for b in beginnings for _ in (0, 1)], self._device
        )
        self._tasks.put(rows, tasks)
        self._weights[rows] = tasks.init
        self._step[rows] = 0
        self._initial[rows] = self._meta_loss.of(tasks, tasks.init, self._step[rows])
        for member, total in zip(members, totals, strict=True):
            self._totals[member] = total
        self._optimizer.restart(members, total_steps=totals)

    def advance(self, theta: Tensor, eps: Tensor, n_steps: int) -> Tensor:
        """Train on; return mean meta-losses, and whether all were finite, (n, 2, 2), float64.

        Args:
            theta: Meta-parameters, (D,).
            eps: Perturbations, (n, D).
            n_steps: Inner steps.
        """
        both = torch.stack([eps, -eps], dim=1).flatten(0, 1)
        self._particles.copy_((theta + both).to(self._device))
        total = torch.zeros(len(self._particles), dtype=torch.float64, device=self._device)
        finite = torch.ones_like(total)
        lengths = torch.tensor(self._totals, device=self._device)
        for _ in range(n_steps):
            grads = gradients(self._tasks, self._weights, self._step)
            self._optimizer.step(self._weights, grads)
            losses = self._meta_loss.of(self._tasks, self._weights, self._step)
            finite *= losses.isfinite()
            self._step += 1
            total += self._meta_loss.worth(losses, self._initial, self._step, lengths)
        return torch.stack([total / n_steps, finite], dim=-1).unflatten(0, (-1, 2)).cpu()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that the stack goes on from, as tensors and plain numbers."""
        stored = self._optimizer.state_dict()
        tensors = {
            "weights": self._weights,
            "step": self._step,
            "initial": self._initial,
            **{f"task.{name}": array for name, array in self._tasks.arrays.items()},
            **{f"average.{name}": average for name, average in stored["averages"].items()},
            **{f"memory.{n}": v for n, v in stored["coefficients"]["state"].items()},
        }
        plain = {
            "totals": [*self._totals],
            "steps_done": stored["steps_done"],
            "started_at": [*stored["coefficients"]["started_at"]],
        }
        return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, plain

    def load(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        own = {"weights": self._weights, "step": self._step, "initial": self._initial}
        own |= {f"task.{name}": array for name, array in self._tasks.arrays.items()}
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
        self._totals[:] = plain["totals"]
        self._optimizer.restart(range(len(self._totals)), total_steps=self._totals)
        stored = self._optimizer.state_dict()
        stored["averages"] = _with_prefix(tensors, "average.", self._device)
        stored["steps_done"] = plain["steps_done"]
        stored["coefficients"] = {
            **stored["coefficients"],
            "state": _with_prefix(tensors, "memory.", self._device),
            "started_at": [*plain["started_at"]],
        }
        self._optimizer.load_state_dict(stored)


def _with_prefix(
    tensors: Mapping[str, Tensor], prefix: str, device: torch.device
) -> dict[str, Tensor]:
    return {n[len(prefix) :]: t.to(device) for n, t in tensors.items() if n.startswith(prefix)}

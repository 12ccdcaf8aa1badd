"""Continual meta-training: learn a new domain and keep the old ones.

Two ways that go together: elastic weight consolidation (arXiv:1612.00796) holds meta-parameters
that the old domain needs, and replay mixes in tasks of the old domain, kept in a reservoir.

Shape legend: M tasks, D meta-parameters.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned import Controller
from optuna_evo.meta_training._backprop import Unrolled
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._flat import flat_parameters
from optuna_evo.meta_training._objective import MetaLoss
from optuna_evo.rules import Layout


__all__ = ["EWC", "meta_gradients", "Replayed", "Reservoir"]


def meta_gradients(
    controller: Controller,
    family: TaskFamily,
    seeds: Sequence[int],
    *,
    steps: int,
    meta_loss: MetaLoss | None = None,
    second_order: bool = False,
) -> Tensor:
    """Return the meta-gradient of each task by backpropagation through its training, (M, D).

    Args:
        controller: At whose meta-parameters.
        family: Where tasks come from.
        seeds: Of the M tasks.
        steps: Length of their trainings.
        meta_loss: What an inner step is worth; None: the default.
        second_order: Whether gradients of gradients count.
    """
    beginnings = [Beginning(i, seed, steps) for i, seed in enumerate(seeds)]
    inner = Unrolled(
        controller,
        family,
        beginnings,
        meta_loss=meta_loss or MetaLoss(),
        second_order=second_order,
    )
    # a row for each task: the sum of losses then has the gradients of all tasks, one a row
    rows = flat_parameters(controller).expand(len(seeds), -1).clone().requires_grad_()
    (gradients,) = torch.autograd.grad(inner.unroll(rows, steps).sum(), rows)
    return gradients


class EWC:
    """Elastic weight consolidation: a spring on each meta-parameter, stiff where it matters.

    Give it to `fine_tune` as `penalty`: strength/2 * sum(importance * (theta - anchor)^2). The
    importance is the diagonal of the empirical Fisher matrix, that is the mean square of the
    tasks' meta-gradients at the anchor; it is scaled to mean 1, so that one strength fits all
    domains, and a small share of it is the same for all.

    Args:
        anchor: Meta-parameters (D,) that were learned on the old domain.
        importance: (D,), >= 0.
        strength: > 0.
        even: Share of the importance that all meta-parameters have alike, in [0, 1].

    Raises:
        UsageError: If a number is out of its range, or the tensors do not fit.

    Example:
        >>> from optuna_evo.learned import MLPController
        >>> from optuna_evo.meta_training import EWC, Quadratics
        >>> ewc = EWC.of(MLPController(hidden_size=4), Quadratics(), range(8), steps=10)
        >>> (ewc(ewc.anchor, 0.1) - ewc.anchor).norm()
        tensor(0.)
    """

    def __init__(
        self, anchor: Tensor, importance: Tensor, *, strength: float = 1.0, even: float = 0.1
    ) -> None:
        if anchor.shape != importance.shape or not bool((importance >= 0).all()):
            raise UsageError(
                f"An importance must be a tensor of numbers >= 0 of shape {tuple(anchor.shape)}, "
                f"got {tuple(importance.shape)}."
            )
        if not strength > 0 or not 0 <= even <= 1:
            raise UsageError(
                f"EWC needs strength > 0 and even in [0, 1], got {strength} and {even}."
            )
        self.anchor, self.strength = anchor, strength
        mean = importance.mean()
        scaled = importance / mean if mean > 0 else torch.ones_like(importance)
        self.importance = (1 - even) * scaled + even

    @classmethod
    def of(
        cls,
        controller: Controller,
        family: TaskFamily,
        seeds: Sequence[int],
        *,
        steps: int,
        strength: float = 1.0,
        even: float = 0.1,
        meta_loss: MetaLoss | None = None,
    ) -> "EWC":
        """Measure the importance of a controller's meta-parameters on tasks of a family."""
        gradients = meta_gradients(controller, family, seeds, steps=steps, meta_loss=meta_loss)
        fisher = gradients.square().mean(0)
        return cls(flat_parameters(controller), fisher, strength=strength, even=even)

    def __call__(self, theta: Tensor, lr: float) -> Tensor:
        """Return the proximal step: the best compromise of staying and the penalty, (D,).

        Unlike a step along the gradient it is stable however stiff the spring is.
        """
        stiffness = lr * self.strength * self.importance
        return self.anchor + (theta - self.anchor) / (1 + stiffness)


class Reservoir:
    """A sample of a stream of tasks, each as likely to be in it as any other (algorithm R).

    Args:
        capacity: Most tasks that it holds, >= 1.
        seed: Of what is kept.

    Example:
        >>> reservoir = Reservoir(3)
        >>> for task in range(100):
        ...     reservoir.add(task)
        >>> len(reservoir.tasks)
        3
    """

    def __init__(self, capacity: int, *, seed: int = 0) -> None:
        if capacity < 1:
            raise UsageError(f"`capacity` must be at least 1, got {capacity}.")
        self._capacity, self._seed = capacity, seed
        self._n_seen = 0
        self.tasks: list[int] = []

    def add(self, task: int) -> None:
        """Show it a task, by its seed."""
        self._n_seen += 1
        if len(self.tasks) < self._capacity:
            self.tasks.append(task)
            return
        random = generator(self._seed, self._n_seen)
        place = int(torch.randint(self._n_seen, (), generator=random))
        if place < self._capacity:
            self.tasks[place] = task


class Replayed(TaskFamily):
    """A family that only has the tasks of a reservoir: what continual meta-training replays.

    Args:
        family: Whose tasks they are.
        tasks: Their seeds, at least one.

    Raises:
        UsageError: If there are none.
    """

    name = "replayed"

    def __init__(self, *, family: TaskFamily, tasks: Sequence[int]) -> None:
        if not tasks:
            raise UsageError("There is no task to replay: add some to the reservoir first.")
        self._family, self._tasks = family, list(tasks)

    @property
    def layout(self) -> Layout:
        """That of the family."""
        return self._family.layout

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return {"family": self._family, "tasks": [*self._tasks]}

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return one of the tasks."""
        return self._family.draw(self._tasks[seed % len(self._tasks)])

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the loss of each member."""
        return self._family.loss(arrays, weights, batch, split)

"""What a task family is: a distribution of small trainings that run as one stack.

Shape legend: M members (each a task), T tensors with N weights in all, B rows of a batch.
"""

from abc import ABC
from abc import abstractmethod
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import ClassVar
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from optuna_evo.rules import Layout


__all__ = ["generator", "SplitName", "TaskFamily", "Tasks"]

SplitName = Literal["train", "valid", "test"]


def generator(*words: int) -> torch.Generator:
    """Return a generator whose stream is a function of these numbers."""
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class TaskFamily(ABC):
    """A distribution of tasks whose weights have one layout.

    A task is what `draw` makes of its seed: an initial weight vector "init" and what its loss
    reads. Everything is a function of the seed and the number of the batch, so a task that is
    drawn again, elsewhere or later, is the same.

    Subclasses are given their settings as keyword arguments, all of them plain JSON values.

    Example:
        >>> family = Quadratics(size=10)
        >>> tasks = family.sample([0, 1, 2])
        >>> family.loss(tasks.arrays, tasks.init, torch.zeros(3, dtype=torch.long), "train").shape
        torch.Size([3])
    """

    name: ClassVar[str]
    """Its name in a spec."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Shapes of the T tensors of a member, in the order in which they lie in its weights."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that make an equal family."""

    @abstractmethod
    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return the arrays of one task, "init" (N,) among them, on the CPU."""

    @abstractmethod
    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the loss of each member, (M,), differentiable in the weights.

        Args:
            arrays: Those of `draw`, stacked along a first dimension M.
            weights: (M, N).
            batch: Number of each member's batch, (M,), from 0; None: all rows of the split.
            split: Which rows of a task's data.
        """

    def sample(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> "Tasks":
        """Return the tasks of these seeds as one stack, in this order."""
        drawn = {seed: self.draw(seed) for seed in dict.fromkeys(seeds)}
        names = drawn[seeds[0]]
        arrays = {n: torch.stack([drawn[seed][n] for seed in seeds]).to(device) for n in names}
        return Tasks(self, arrays)


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks of a family as one stack.

    Args:
        family: Their family.
        arrays: What `TaskFamily.draw` returns, stacked: (M, ...).
    """

    family: TaskFamily
    arrays: Mapping[str, Tensor]

    @property
    def init(self) -> Tensor:
        """Initial weights, (M, N)."""
        return self.arrays["init"]

    def __len__(self) -> int:
        return len(self.init)

    def loss(self, weights: Tensor, batch: Tensor | None, split: SplitName) -> Tensor:
        """Return the loss of each member, (M,)."""
        return self.family.loss(self.arrays, weights, batch, split)

    def put(self, rows: Tensor, others: "Tasks") -> None:
        """Write other tasks of the family in the place of these rows."""
        for name, array in self.arrays.items():
            array[rows] = others.arrays[name]

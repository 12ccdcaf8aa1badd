"""Several cohorts as one: members that no stack can train together train beside each other."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

from torch import Tensor

from optuna_evo.tasks import Split
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._cohort import Cohort
from optuna_evo.trainers._setting import check_alive


__all__ = ["SideBySideCohort"]

_T = TypeVar("_T")


class SideBySideCohort:
    """A `Cohort` made of cohorts on one task with one seed.

    Args:
        parts: Each cohort with the numbers of its members.
    """

    def __init__(self, parts: Sequence[tuple[Cohort, Sequence[int]]]) -> None:
        self._parts = [(cohort, list(numbers)) for cohort, numbers in parts]
        self._step = 0

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return sorted(number for _, numbers in self._parts for number in numbers)

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        for cohort, _ in self._parts:
            cohort.train(n_steps)
        self._step += n_steps

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        check_alive(alive, len(self.members))
        stays = dict(zip(self.members, alive, strict=True))
        for cohort, numbers in self._parts:
            cohort.drop([stays[number] for number in numbers])
        self._parts = [
            (cohort, [number for number in numbers if stays[number]])
            for cohort, numbers in self._parts
        ]

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        return self._gather(cohort.losses() for cohort, _ in self._parts)

    def curves(self, points: int) -> list[Sequence[float]]:
        """Return each member's training loss so far as at most so many means."""
        return self._gather(cohort.curves(points) for cohort, _ in self._parts)

    def grad_norms(self) -> list[float]:
        """Return the mean norm of the gradient over the last steps."""
        return self._gather(cohort.grad_norms() for cohort, _ in self._parts)

    def evaluate(
        self,
        split: Split | None = None,
        *,
        measure: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> list[float]:
        """Measure the members."""
        return self._gather(cohort.evaluate(split, measure=measure) for cohort, _ in self._parts)

    def outputs(self, split: Split) -> list[Any]:
        """Return what each model makes of the inputs of a split."""
        return self._gather(cohort.outputs(split) for cohort, _ in self._parts)

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        by_member = dict(zip(self.members, factors, strict=True))
        for cohort, numbers in self._parts:
            cohort.scale_lr([by_member[number] for number in numbers])

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        return self._gather(cohort.state_dicts() for cohort, _ in self._parts)

    def checkpoints(self) -> list[Checkpoint]:
        """Return what each member can go on from; the tensors are not copied."""
        return self._gather(cohort.checkpoints() for cohort, _ in self._parts)

    def _gather(self, parts: Iterable[Sequence[_T]]) -> list[_T]:
        """Put what the parts return in the order of the members."""
        found: dict[int, _T] = {}
        for (_, numbers), values in zip(self._parts, parts, strict=True):
            found.update(zip(numbers, values, strict=True))
        return [found[number] for number in self.members]

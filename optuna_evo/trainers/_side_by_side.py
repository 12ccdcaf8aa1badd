"""Several runs as one: members that cannot be trained in one stack train beside each other."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from optuna_evo.tasks import Split
from optuna_evo.trainers._run import Run


__all__ = ["SideBySideRun"]

_T = TypeVar("_T")


class SideBySideRun:
    """A `Run` made of runs of one task and seed.

    Args:
        parts: Each run with the numbers of its members.
        step: Steps that the parts have done.
    """

    def __init__(self, parts: Sequence[tuple[Run, Sequence[int]]], *, step: int = 0) -> None:
        self._parts = [(run, list(numbers)) for run, numbers in parts]
        self._step = step

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return sorted(number for _, numbers in self._parts for number in numbers)

    def advance(self, n_steps: int) -> list[float]:
        """Train for `n_steps` more steps and return the metric on the validation split."""
        values = self._gather(run.advance(n_steps) for run, _ in self._parts)
        self._step += n_steps
        return values

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        for run, _ in self._parts:
            run.train(n_steps)
        self._step += n_steps

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        if len(alive) != len(self.members):
            raise ValueError(
                f"`alive` must have one entry for each of {len(self.members)} live members, "
                f"got {len(alive)}."
            )
        stays = dict(zip(self.members, alive, strict=True))
        for run, numbers in self._parts:
            run.keep([stays[number] for number in numbers])
        self._parts = [
            (run, [number for number in numbers if stays[number]]) for run, numbers in self._parts
        ]

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        return self._gather(run.losses() for run, _ in self._parts)

    def evaluate(
        self, split: Split, *, measure: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> list[float]:
        """Measure the members on other rows."""
        return self._gather(run.evaluate(split, measure=measure) for run, _ in self._parts)

    def outputs(self, split: Split) -> list[Tensor | None]:
        """Return what each model makes of the inputs of a split."""
        return self._gather(run.outputs(split) for run, _ in self._parts)

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        by_member = dict(zip(self.members, factors, strict=True))
        for run, numbers in self._parts:
            run.scale_lr([by_member[number] for number in numbers])

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        return self._gather(run.state_dicts() for run, _ in self._parts)

    def _gather(self, parts: Iterable[Sequence[_T]]) -> list[_T]:
        """Put what the parts return in the order of the members."""
        found: dict[int, _T] = {}
        for (_, numbers), values in zip(self._parts, parts, strict=True):
            found.update(zip(numbers, values, strict=True))
        return [found[number] for number in self.members]

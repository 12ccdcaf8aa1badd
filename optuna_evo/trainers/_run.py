"""The seam between what searches and what trains."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from optuna_evo.tasks import Split


__all__ = ["Run"]


class Run(Protocol):
    """Training of several members, side by side, on one task with one seed.

    A member is one configuration. Members of one seed start from the same weights and see the same
    rows in the same order, whatever trains beside them. All sequences have one entry for each live
    member, in the order in which the members were given. A diverged member stops training and
    measures NaN for the rest of the run, but lives until it is dropped.
    """

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members: their places among the configurations first given."""

    def advance(self, n_steps: int) -> Sequence[float]:
        """Train for `n_steps` more steps.

        Returns:
            The task's metric on the validation split.

        Raises:
            ValueError: If that would be more than the total steps of the run, or less than none.
        """

    def train(self, n_steps: int) -> None:
        """Do what `advance` does, but measure nothing."""

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`; the others go on as if nothing had happened.

        Raises:
            ValueError: If there is not one entry for each live member.
        """

    def losses(self) -> Sequence[float]:
        """Return the mean training loss of the last steps (the loss window); NaN before any."""

    def evaluate(
        self, split: Split, *, measure: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> Sequence[float]:
        """Measure the members on other rows.

        Args:
            split: The rows.
            measure: Mean over a batch from (outputs, targets), such as the task's loss. None: the
                task's metric.

        Returns:
            The mean over the rows; NaN where outputs are not finite.
        """

    def outputs(self, split: Split) -> Sequence[Tensor | None]:
        """Return what each model makes of the inputs of a split, a float32 tensor (n, ...).

        None for a diverged member, and where outputs are not finite.
        """

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on, whatever its schedule."""

    def state_dicts(self) -> Sequence[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""

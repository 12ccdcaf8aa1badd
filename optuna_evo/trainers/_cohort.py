"""The seam between what values trainings and what trains."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from torch import Tensor

from optuna_evo.tasks import Split
from optuna_evo.trainers._checkpoint import Checkpoint


__all__ = ["Cohort"]


class Cohort(Protocol):
    """Training of several members, side by side, on one task with one seed.

    A member is one configuration that goes on from fresh weights or from a checkpoint. Members
    with fresh weights start from the same ones and see the same rows in the same order, whatever
    trains beside them. All sequences have one entry for each live member, in the order in which
    the members were given. A diverged member measures NaN; it stops training at one of the steps
    at which all are checked, but lives until it is dropped.
    """

    @property
    def step(self) -> int:
        """Optimizer steps done in this cohort, not counting those before a checkpoint."""

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members: their places among the configurations first given."""

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps.

        Raises:
            ValueError: If that would be more than the total steps of the cohort, or less than
                none.
            MemoryLimitError: If the device's memory does not suffice.
        """

    def evaluate(
        self,
        split: Split | None = None,
        *,
        measure: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> Sequence[float]:
        """Measure the members.

        Args:
            split: The rows; None: the task's validation split.
            measure: Mean over a batch from (outputs, targets), such as the task's loss. None: the
                task's metric.

        Returns:
            The mean over the rows; NaN for diverged members and where outputs are not finite.
        """

    def outputs(self, split: Split) -> Sequence[Any]:
        """Return what each model makes of the inputs of a split, a float32 tensor (n, ...).

        Or what the model returns in place of one tensor, such as a dictionary of them.

        None for a diverged member, and where outputs are not finite.
        """

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`; the others go on as if nothing had happened.

        Raises:
            ValueError: If there is not one entry for each live member.
        """

    def losses(self) -> Sequence[float]:
        """Return the mean training loss of the last steps (the loss window); NaN before any."""

    def curves(self, points: int) -> Sequence[Sequence[float]]:
        """Return each member's training loss so far as at most so many means.

        Each is the mean over an equal share of the steps, the earliest first; a loss that is not
        finite is NaN. Empty before any step, and for a member that has left a stack.
        """

    def grad_norms(self) -> Sequence[float]:
        """Return the mean norm of the gradient before clipping, over the same steps.

        NaN before any step, and where nothing needs the norms: they are computed for segments and
        for members that clip.
        """

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on, whatever its schedule."""

    def state_dicts(self) -> Sequence[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return what each member can go on from.

        The tensors are not copied: write them, or start from them, before training on.
        """

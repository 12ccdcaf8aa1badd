"""What an optimizer runs: an update rule, and the coefficients that it is started with.

A genome's coefficients are constant; those of a learned optimizer depend on what it observes. Both
are a row of numbers a step and tensor, so the same kernels run them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import Protocol
from typing import runtime_checkable
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from optuna_evo.rules._terms import Needs

__all__ = ["Coefficients", "DirectedCoefficients", "Layout", "Observation", "UpdateRule"]

Layout = Sequence[tuple[int, ...]]
"""The shapes of the T tensors of one member."""


class Observation(NamedTuple):
    """What a rule sees before a step: for each of T tensors those of P members, (P, *shape).

    Args:
        params: Weights.
        grads: Gradients; 0 where there is none.
        averages: Averages by their symbols in `AVERAGES`, as the step before left them.
        flat: Where all tensors of a member lie in one row, the same again: "params", "grads" and
            the averages by their symbols, (P, N) each.
    """

    params: Sequence[Tensor]
    grads: Sequence[Tensor]
    averages: Mapping[str, Sequence[Tensor]]
    flat: Mapping[str, Tensor] | None = None


class Coefficients(Protocol):
    """The coefficients of P members over T tensors, with their state."""

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the numbers of a step, (P, 1 or T, n), float64, in the order of `NUMBERS`.

        Args:
            step: Number of the step, counted from 1.
            seen: None where the rule does not observe.
        """
        ...

    def select(self, index: Tensor) -> None:
        """Go on with the members of these numbers only, in this order."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state, of types that `torch.load(weights_only=True)` reads."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        ...


@runtime_checkable
class DirectedCoefficients(Protocol):
    """Coefficients that compute a direction of their own for each parameter."""

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        """Return a dense direction for each of T tensors, (P, *shape).

        It is no elementwise function of gradient and averages, such as an orthogonalised momentum.
        Its coefficient is the number "dense". Asked for before `numbers`.
        """
        ...


class UpdateRule(Protocol):
    """What an optimizer can run.

    Two whole ones, tested against their equations: `tests/optimizers/rules.py`.
    """

    @property
    def needs(self) -> Needs:
        """The averages that the optimizer keeps."""
        ...

    @property
    def observes(self) -> bool:
        """Whether numbers depend on an `Observation`. If not, those of all steps can be asked."""
        ...

    def fingerprint(self) -> str:
        """Return what tells it from other rules: a saved state belongs to one."""
        ...

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> Coefficients:
        """Return the coefficients of a run from its beginning."""
        ...

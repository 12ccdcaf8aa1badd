"""A controller: a small network that computes the coefficients of an update rule."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import ClassVar
from typing import Literal

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.rules import catalog
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs


__all__ = ["Controller", "DEFAULT_MIXES", "Dense", "seeded", "zero_"]

DEFAULT_MIXES = ("ADAM_TERM", "SIGN_GRAD", "GRAD", "MOMENTUM")


class Controller(nn.Module):
    """A network whose answer changes the coefficients of a base genome, step by step.

    Subclasses are pure and can be vmapped: `forward` writes nothing in place, draws no random
    numbers, and decides nothing by values. Their last layers start at 0, so a controller that was
    not trained is its base genome. The seed of the other layers is an argument; layers are made in
    `with seeded(seed)`.

    Class attributes:
        kind: Its name in stored controllers.
        sees: "statistics": of each tensor only the `STATISTICS` of a fixed sample, so that a step
            costs about what the base genome's does. "whole": all elements, `Reading.flat`.
        has_direction: Whether answers have a dense direction.
        needs_total_steps: Whether it reads the length of a run.
        batches: Whether `forward` takes all members at once: readings, state, answers and the
            module's own weights have a dimension (P,) in front, weights where each member has its
            own. It spares the cost of vmap; `Dense` is a linear layer for both.

    Args:
        settings: The keyword arguments that make an equal module, plain JSON types, without
            `genome` and `mixes`.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Names of the directions that `Answer.mix` adds to, such as "ADAM_TERM". A direction
            that has the size of a gradient (GRAD, MOMENTUM, AGREEMENT) is divided by the root
            mean square of the gradient or its average in the tensor.

    Raises:
        ValueError: If a mix is no direction.
    """

    kind: ClassVar[str]
    sees: Literal["statistics", "whole"] = "statistics"
    has_direction: bool = False
    needs_total_steps: bool = False
    batches: ClassVar[bool] = False

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        super().__init__()
        if genome is None:
            genome = catalog["adam"]
        self.genome = genome if isinstance(genome, Genome) else Genome.from_dict(genome)
        base = self.genome.rule
        if base.is_dense or base.nadam or base.tail:
            raise ValueError(
                "The base genome of a controller must be elementwise: leave out ORTHOGONAL, SOAP, "
                "NADAM, `use_cautious`, `use_rms_norm`, `norm_bound` and `tail_average`."
            )
        names = [term.name for term in DIRECTIONS]
        if isinstance(mixes, str) or not set(mixes) <= set(names):
            raise ValueError(f"`mixes` must be some of {names}, got {mixes!r}.")
        self.mixes = tuple(mixes)
        self._settings = dict(settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make an equal module, plain JSON types."""
        own = {"genome": self.genome.to_dict(), "mixes": list(self.mixes)}
        return self._settings | own

    @property
    def needs(self) -> Needs:
        """Averages beside m and v that `Reading.flat` shall have."""
        return frozenset()

    def start(self, layout: Layout) -> State:
        """Return the state of one member at the beginning of a run, on the CPU.

        Args:
            layout: Shapes of the T tensors.
        """
        return {}

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return the answer for a step, and the state after it."""
        raise NotImplementedError


class Dense(nn.Linear):
    """A linear layer whose weights may be one set for each of P members, (P, out, in)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (P, ..., out) of (P, ..., in)."""
        if self.weight.ndim == 2:
            return nn.functional.linear(inputs, self.weight, self.bias)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight.transpose(1, 2))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let modules that are made inside draw from this seed, and leave torch's generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def zero_(layer: nn.Module) -> None:
    """Set all weights of a layer to 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)

"""A new column beside trained ones: adapters of domains, and progressive networks.

Progressive networks (arXiv:1606.04671) learn a new task without changing anything that the old
ones need: old columns are frozen, and the new one sees what they say. A thin column is an adapter:
what one domain adds to a trunk that all share.

Shape legend: P members, T tensors, F statistics and time features, K mixes.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import copy
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._freezing import freeze_
from optuna_evo.learned._kinds import build
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._mlp import MLPController
from optuna_evo.learned._mlp import with_time
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import TIME
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs


__all__ = ["ColumnController"]


class ColumnController(Controller):
    """A frozen controller and a new column that adds to its answers.

    The new column, a perceptron over the tensors, sees what `MLPController` sees and the frozen
    one's answers. It starts at 0: then the whole answers as the frozen one does, bit for bit.
    Columns can be put on columns.

    Args:
        column: The frozen controller, or its kind and settings, {"kind": ..., "settings": {...}};
            None: an untrained `MLPController`. It is copied: the original is not changed.
        hidden_size: Units of a hidden layer of the new column.
        num_layers: Its hidden layers.
        seed: Of the weights of all its layers but the last, which is 0.
        genome, mixes: Of the untrained one; another frozen controller has its own.

    Raises:
        UsageError: If the frozen controller has a dense direction: a column adds to coefficients.

    Example:
        >>> trunk = MLPController()
        >>> adapter = ColumnController(column=trunk, hidden_size=4)
        >>> rule = ControllerRule(adapter)
    """

    kind = "column"

    def __init__(
        self,
        *,
        column: Controller | Mapping[str, Any] | None = None,
        hidden_size: int = 16,
        num_layers: int = 1,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        if column is None:
            frozen: Controller = MLPController(genome=genome, mixes=mixes)
        elif isinstance(column, Controller):
            frozen = copy.deepcopy(column)
        else:
            frozen = build(column["kind"], column["settings"])
        if frozen.has_direction:
            raise UsageError(
                f"A column adds to coefficients; a controller of kind {frozen.kind!r} has a "
                "direction of its own: give one that has none, such as an MLPController."
            )
        settings = {
            "column": {"kind": frozen.kind, "settings": frozen.settings},
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "seed": seed,
        }
        # base and mixes are those of the frozen one: its answers must mean what they meant
        super().__init__(settings, genome=frozen.genome, mixes=frozen.mixes)
        freeze_(frozen)
        self.column = frozen
        self.sees, self.needs_total_steps = frozen.sees, True
        self.batches = frozen.batches  # type: ignore[misc]
        n_out = 1 + len(self.mixes)
        n_in = len(STATISTICS) + len(TIME) + n_out
        with seeded(seed):
            self.net = mlp([n_in, *[hidden_size] * num_layers, n_out])

    @property
    def needs(self) -> Needs:
        """The averages that the frozen controller reads."""
        return self.column.needs

    def start(self, layout: Layout) -> State:
        """Return the state of the frozen controller."""
        return self.column.start(layout)

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return the frozen answer with what the new column adds."""
        old, after = self.column(reading, state)
        said = torch.cat([old.log_lr.unsqueeze(-1), old.mix], dim=-1)  # (..., T, 1 + K)
        out: Tensor = self.net(torch.cat([with_time(reading, True), said], dim=-1))
        return Answer(old.log_lr + bounded(out[..., 0], 6.0), old.mix + out[..., 1:]), after

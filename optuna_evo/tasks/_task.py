"""A task: what is trained, on which data, and how it is measured. Plain data and functions.

Shape legend: n rows of a split, b rows of a batch.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import get_args
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import UsageError


__all__ = ["check_rows", "Kind", "partition", "Split", "Splits", "Task"]

Kind = Literal["classification", "language_model", "question_answering", "regression"]

# Which rows are for training and which for validation is part of a task's definition: it must not
# depend on a run's seed.
_PARTITION_SEED = 0


# Without equality: tensors have none that is a truth value, and caches compare splits by identity.
@dataclass(frozen=True, eq=False)
class Split:
    """Examples held in memory.

    Args:
        inputs: Tensor (n, ...), normalised.
        targets: Tensor (n, ...): class numbers (n,), characters (n, length) or values (n,).
        extras: What metrics need besides, one entry for each row, such as the texts behind the
            tokens; most tasks have none.

    Raises:
        ValueError: If there is no row, or the two differ in their number.

    Example:
        >>> len(Split(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long)))
        3
    """

    inputs: Tensor
    targets: Tensor
    extras: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.targets) > 0:
            raise ValueError(
                "A split needs rows, as many targets as inputs; got inputs of shape "
                f"{tuple(self.inputs.shape)} and targets of shape {tuple(self.targets.shape)}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Split":
        """Return the split on `device`; itself if it is there already."""
        return dataclasses.replace(
            self, inputs=self.inputs.to(device), targets=self.targets.to(device)
        )

    def take(self, rows: Tensor) -> "Split":
        """Return the rows of these numbers."""
        extras = [self.extras[row] for row in rows.tolist()] if self.extras else ()
        return Split(self.inputs[rows], self.targets[rows], extras)

    def parts(self, *sizes: int) -> "list[Split]":
        """Return disjoint parts of these sizes, the same in every call (see `partition`)."""
        return [self.take(rows) for rows in partition(len(self), *sizes)]


@dataclass(frozen=True, eq=False)
class Splits:
    """What a search may see: training and validation rows, disjoint.

    Args:
        train: What the weights are fitted to.
        valid: What configurations are compared on.
        source: Where the rows came from, in words: a task may have a substitute.
    """

    train: Split
    valid: Split
    source: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model, data, a loss and a metric.

    The test rows have a function of their own, so that a search cannot touch them by mistake:
    training, validation and test rows are disjoint. All functions are pure; `load` and `load_test`
    read `OPTUNA_EVO_DATA` when they are given no folder, and may download.

    Args:
        name:
            Unique name; part of what random streams derive from.
        kind:
            "classification" (targets are classes), "language_model" (targets are next
            characters), "question_answering" (targets are spans) or "regression".
        build_model:
            Makes the model from keyword arguments that all have defaults. Weights are drawn from
            the current torch generator; the trainer seeds it.
        load:
            Makes the training and validation split from a data folder.
        load_test:
            Makes the test split from a data folder.
        loss:
            Mean loss of a batch from (outputs, targets), a differentiable scalar. Outputs are
            what the model returns: a tensor, or tensors in dictionaries, lists and tuples.
        metric:
            Mean metric of a batch from (outputs, targets), a scalar.
        augment:
            Changes a batch of training inputs at random, all randomness from the generator
            (on the inputs' device). None: nothing.
        batch_size:
            Rows per training step where the configuration sets none.
        higher_is_better:
            The direction of the metric.
        bfloat16:
            Whether precision "auto" may train in bfloat16 where the hardware is fast at it, or
            "cuda": on GPUs only. Turn it on where a measurement shows that it helps.
        notes:
            What is recorded with every result, such as the weights that the model started from;
            becomes user attributes of each trial.

    Raises:
        ValueError: If `kind` is unknown or `batch_size` is not positive.

    Example:
        >>> from optuna_evo import tasks
        >>> task = tasks.get("two_moons")
        >>> splits = task.load(None)
        >>> task.loss(task.build_model()(splits.train.inputs), splits.train.targets)
    """

    name: str
    kind: Kind
    build_model: Callable[..., nn.Module]
    load: Callable[[Path | None], Splits]
    load_test: Callable[[Path | None], Split]
    loss: Callable[[Any, Tensor], Tensor]
    metric: Callable[[Any, Tensor], Tensor]
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    batch_size: int = 128
    higher_is_better: bool = True
    bfloat16: bool | Literal["cuda"] = False
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"`kind` must be one of {get_args(Kind)}, got {self.kind!r}.")
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {self.batch_size}.")


def partition(n_rows: int, *sizes: int) -> list[Tensor]:
    """Return disjoint random row numbers, a tensor for each of `sizes`, the same in every call.

    Raises:
        ValueError: If the sizes need more rows than there are.

    Example:
        >>> [len(rows) for rows in partition(10, 5, 3)]
        [5, 3]
    """
    if sum(sizes) > n_rows:
        raise ValueError(f"Parts of {sizes} rows do not fit into {n_rows} rows.")
    order = torch.from_numpy(np.random.default_rng(_PARTITION_SEED).permutation(n_rows))
    return list(torch.split(order[: sum(sizes)], list(sizes)))


def check_rows(**limits: int | None) -> None:
    """Refuse limits of rows, by option of the task, that leave no row; None is no limit."""
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise UsageError(f"`task.{name}` must be at least 1, got {limit}.")

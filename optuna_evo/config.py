"""What one trial trains with: the plain value between a search space and a trainer."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from optuna_evo.genome import Genome


__all__ = ["TrainingConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimizer and hyperparameters of one training run.

    Args:
        genome: The update rule with its hyperparameters.
        batch_size: Examples a step; None: the task's own.
        model: Keyword arguments for the task's model builder, such as `{"dropout": 0.3}`.

    Example:
        >>> from optuna_evo.catalog import catalog
        >>> TrainingConfig(genome=catalog["adamw"], batch_size=64, model={"dropout": 0.5})
    """

    genome: Genome
    batch_size: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

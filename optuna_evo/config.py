"""What one trial trains with: the plain value between a search space and a trainer."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import hashlib
import json
from typing import Any
from typing import Protocol

from optuna_evo.genome import Genome


__all__ = ["Config", "TrainingConfig"]


class Config(Protocol):
    """What a search space makes of a trial, whatever trains it."""

    def fingerprint(self) -> str:
        """Return the same text for configurations that train alike."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimizer and hyperparameters of one training run.

    Args:
        genome: The update rule with its hyperparameters.
        batch_size: Examples a step; None: the task's own.
        epochs: Passes over the training rows, where the objective counts in epochs or steps of its
            own; None: as many as the objective says.
        model: Keyword arguments for the task's model builder, such as `{"dropout": 0.3}`.

    Example:
        >>> from optuna_evo.catalog import catalog
        >>> TrainingConfig(genome=catalog["adamw"], batch_size=64, model={"dropout": 0.5})
    """

    genome: Genome
    batch_size: int | None = None
    epochs: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the genome's fingerprint, with a digest of all else that is not the task's own.

        Example:
            >>> from optuna_evo.catalog import catalog
            >>> TrainingConfig(genome=catalog["sgd"], batch_size=64).fingerprint()
        """
        rest = {
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "model": dict(self.model),
        }
        own = {key: value for key, value in rest.items() if value}
        if not own:
            return self.genome.fingerprint()
        text = json.dumps(own, sort_keys=True, default=repr)
        return f"{self.genome.fingerprint()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

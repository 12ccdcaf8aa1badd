"""What one trial trains with: the plain value between a search space and a trainer."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import hashlib
import json
from typing import Any
from typing import Protocol

from optuna_evo.rules import Genome


__all__ = ["Config", "EstimatorConfig", "SegmentConfig", "TrainingConfig"]


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
        >>> from optuna_evo import catalog
        >>> TrainingConfig(genome=catalog["adamw"], batch_size=64, model={"dropout": 0.5})
    """

    genome: Genome
    batch_size: int | None = None
    epochs: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the genome's fingerprint, with a digest of all else that is not the task's own.

        Example:
            >>> from optuna_evo import catalog
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


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(TrainingConfig):
    """What a segment of a longer training trains with; may change from segment to segment.

    Args:
        clip_norm: Bound on the Euclidean norm of the whole gradient; None: no bound.
        sparsity: Share of each weight matrix that is held at zero during the segment, in [0, 1):
            the smallest weights at its start.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> from optuna_evo import catalog
        >>> SegmentConfig(genome=catalog["adamw"], clip_norm=1.0, sparsity=0.2)
    """

    clip_norm: float | None = None
    sparsity: float = 0.0

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"`clip_norm` must be positive or None, got {self.clip_norm}.")
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"`sparsity` must be in [0, 1), got {self.sparsity}.")

    def fingerprint(self) -> str:
        """Return the fingerprint of the training, with what the segment adds."""
        if self.clip_norm is None and not self.sparsity:
            return super().fingerprint()
        return f"{super().fingerprint()}-{self.clip_norm}-{self.sparsity}"


@dataclass(frozen=True, kw_only=True)
class EstimatorConfig:
    """An estimator of scikit-learn and its hyperparameters (see `optuna_evo.estimators`).

    Args:
        estimator: Its name, such as "random_forest".
        params: Its hyperparameters.

    Example:
        >>> EstimatorConfig(estimator="linear", params={"alpha": 0.1}).fingerprint()
    """

    estimator: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the name with a digest of the hyperparameters."""
        text = json.dumps(dict(self.params), sort_keys=True, default=repr)
        return f"{self.estimator}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

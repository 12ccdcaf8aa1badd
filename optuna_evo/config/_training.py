"""What one training, or one segment of a longer one, trains with."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Protocol
from typing import Self

from optuna_evo.config._controller import ControllerConfig
from optuna_evo.config._digest import digest
from optuna_evo.config._named import NamedOptimizer
from optuna_evo.errors import UsageError
from optuna_evo.rules import Genome


__all__ = [
    "Config",
    "GraftedOptimizer",
    "optimizer_from_dict",
    "optimizer_to_dict",
    "OptimizerConfig",
    "SegmentConfig",
    "TrainingConfig",
]


@dataclass(frozen=True, kw_only=True)
class GraftedOptimizer:
    """Two optimizers: the step of each tensor goes where one says, as far as the other says.

    Agarwal et al., 2020 (arXiv:2002.11803): what is left when step sizes are equal is the update
    rule.

    Args:
        direction: Says where each tensor goes.
        magnitude: Says how far, by the norm of its own step.

    Example:
        >>> from optuna_evo import catalog
        >>> GraftedOptimizer(direction=catalog["lion"], magnitude=catalog["adamw"])
    """

    direction: "OptimizerConfig"
    magnitude: "OptimizerConfig"

    def equation(self) -> str:
        """Return both, one below the other."""
        return (
            f"{self.direction.equation()}\n# with the step sizes of\n{self.magnitude.equation()}"
        )

    def fingerprint(self) -> str:
        """Return the same text for pairs that train alike."""
        parts = {"direction": self.direction, "magnitude": self.magnitude}
        return f"grafted-{digest({k: v.fingerprint() for k, v in parts.items()}, 16)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal one back."""
        return {
            "direction": optimizer_to_dict(self.direction),
            "magnitude": optimizer_to_dict(self.magnitude),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If it is none of ours (a ValueError).
        """
        try:
            return cls(
                direction=optimizer_from_dict(data["direction"]),
                magnitude=optimizer_from_dict(data["magnitude"]),
            )
        except (KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"These are no two optimizers as `to_dict` writes them ({str(error)[:200]})."
            ) from error


OptimizerConfig = Genome | NamedOptimizer | ControllerConfig | GraftedOptimizer
"""What optimizer a training has. Each kind is frozen data with `to_dict`, `from_dict`,
`fingerprint` and `equation`; `_KINDS` names it in stored configurations."""

_KINDS: Mapping[
    str,
    type[Genome] | type[NamedOptimizer] | type[ControllerConfig] | type[GraftedOptimizer],
] = {
    "controller": ControllerConfig,
    "genome": Genome,
    "grafted": GraftedOptimizer,
    "torch": NamedOptimizer,
}


def optimizer_to_dict(optimizer: OptimizerConfig) -> dict[str, Any]:
    """Return plain JSON types under the name of the optimizer's kind."""
    (kind,) = (key for key, each in _KINDS.items() if isinstance(optimizer, each))
    return {kind: optimizer.to_dict()}


def optimizer_from_dict(data: Mapping[str, Any]) -> OptimizerConfig:
    """Read what `optimizer_to_dict` returned; other keys are left alone.

    Raises:
        UsageError: If there is not one optimizer of a known kind (a ValueError).
    """
    kinds = [key for key in _KINDS if isinstance(data, Mapping) and key in data]
    if len(kinds) != 1:
        raise UsageError(
            f"An optimizer must be one of {[*_KINDS]}, in a table under that name; got "
            f"{', '.join(kinds) or 'none'}."
        )
    return _KINDS[kinds[0]].from_dict(data[kinds[0]])


class Config(Protocol):
    """What a search space makes of a trial, whatever trains it."""

    def fingerprint(self) -> str:
        """Return the same text for configurations that train alike."""


@dataclass(frozen=True, kw_only=True, init=False)
class TrainingConfig:
    """The optimizer and hyperparameters of one training run.

    Args:
        optimizer: A genome, optimizers of torch by their names, or a controller.
        genome: The same as `optimizer`, for genomes; where both are given this one counts, so that
            `dataclasses.replace(config, genome=other)` does what it says.
        batch_size: Examples per step; None: the task's own.
        epochs: Passes over the training rows, where the objective counts in epochs or steps of its
            own; None: as many as the objective says.
        model: Keyword arguments for the task's model builder, such as `{"dropout": 0.3}`.

    Raises:
        UsageError: If there is no optimizer (a ValueError).

    Example:
        >>> from optuna_evo import catalog
        >>> TrainingConfig(genome=catalog["adamw"], batch_size=64, model={"dropout": 0.5})
        >>> TrainingConfig(optimizer=NamedOptimizer.of("NAdam", lr=1e-3))
    """

    optimizer: OptimizerConfig
    batch_size: int | None = None
    epochs: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        *,
        optimizer: OptimizerConfig | None = None,
        genome: Genome | None = None,
        batch_size: int | None = None,
        epochs: float | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = optimizer if genome is None else genome
        if not isinstance(chosen, OptimizerConfig):
            raise UsageError(
                "`optimizer` must be a Genome, a NamedOptimizer, such as "
                'NamedOptimizer.of("AdamW", lr=1e-3), or a ControllerConfig; got '
                f"{chosen!r}."
            )
        values = {"optimizer": chosen, "batch_size": batch_size, "epochs": epochs}
        for name, value in {**values, "model": model or {}}.items():
            object.__setattr__(self, name, value)

    @property
    def genome(self) -> Genome:
        """The genome.

        Raises:
            UsageError: If the optimizer is none (a ValueError).
        """
        if not isinstance(self.optimizer, Genome):
            raise UsageError(
                f"This configuration trains with {self.optimizer.equation()}, which has no "
                "genome: search over genomes, or read `config.optimizer`."
            )
        return self.optimizer

    def fingerprint(self) -> str:
        """Return the optimizer's fingerprint, with a digest of all else that is not the task's.

        Example:
            >>> from optuna_evo import catalog
            >>> TrainingConfig(genome=catalog["sgd"], batch_size=64).fingerprint()
        """
        # what is not set adds nothing: a stored fingerprint outlives settings that come later
        own = {key: value for key, value in self._settings().items() if value}
        optimizer = self.optimizer.fingerprint()
        return f"{optimizer}-{digest(own)}" if own else optimizer

    def with_cosine(self) -> Self:
        """Return the same with a learning rate that decays along a cosine."""
        optimizer: OptimizerConfig
        if isinstance(self.optimizer, Genome):
            optimizer = dataclasses.replace(self.optimizer, use_cosine_decay=True)
        elif isinstance(self.optimizer, GraftedOptimizer):
            raise UsageError("A grafted optimizer has the schedules of its two parts.")
        else:
            optimizer = dataclasses.replace(self.optimizer, cosine=True)
        return dataclasses.replace(self, optimizer=optimizer)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` of the same class gives an equal one back."""
        settings = {key: value for key, value in self._settings().items() if value}
        return optimizer_to_dict(self.optimizer) | settings

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If there is not one optimizer of a known kind, or another key is unknown.
        """
        optimizer = optimizer_from_dict(data)
        settings = {str(key): value for key, value in data.items() if key not in _KINDS}
        try:
            return cls(optimizer=optimizer, **settings)
        except TypeError as error:  # an unknown key, or a value that is no number
            raise UsageError(f"This is no configuration ({str(error)[:200]}).") from error

    def _settings(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "epochs": self.epochs, "model": dict(self.model)}


@dataclass(frozen=True, kw_only=True, init=False)
class SegmentConfig(TrainingConfig):
    """What a segment of a longer training trains with; may change from segment to segment.

    Args:
        optimizer: As of a `TrainingConfig`.
        genome: As of a `TrainingConfig`.
        batch_size: Examples per step; None: the task's own.
        epochs: As of a `TrainingConfig`.
        model: Keyword arguments for the task's model builder.
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

    def __init__(
        self,
        *,
        clip_norm: float | None = None,
        sparsity: float = 0.0,
        optimizer: OptimizerConfig | None = None,
        genome: Genome | None = None,
        batch_size: int | None = None,
        epochs: float | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            optimizer=optimizer, genome=genome, batch_size=batch_size, epochs=epochs, model=model
        )
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"`clip_norm` must be positive or None, got {clip_norm}.")
        if not 0 <= sparsity < 1:
            raise ValueError(f"`sparsity` must be in [0, 1), got {sparsity}.")
        object.__setattr__(self, "clip_norm", clip_norm)
        object.__setattr__(self, "sparsity", sparsity)

    def fingerprint(self) -> str:
        """Return the fingerprint of the training, with what the segment adds."""
        if self.clip_norm is None and not self.sparsity:
            return super().fingerprint()
        return f"{super().fingerprint()}-{self.clip_norm}-{self.sparsity}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal configuration back."""
        own = {"clip_norm": self.clip_norm, "sparsity": self.sparsity}
        return super().to_dict() | {key: value for key, value in own.items() if value}

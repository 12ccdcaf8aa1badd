"""A learned optimizer that is to be meta-trained, as data: what an architecture search varies."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Self

from optuna_evo.config._digest import digest
from optuna_evo.errors import UsageError
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome


__all__ = ["MetaTrainingConfig"]

_ESTIMATORS = ("pes", "full_es", "truncated_backprop")


@dataclass(frozen=True, kw_only=True)
class MetaTrainingConfig:
    """Which controller is meta-trained, and how; on what and for how long the objective says.

    Args:
        kind: Kind of controller, such as "mlp".
        settings: Keyword arguments of the kind, without the base genome.
        genome: The base, which the controller is before training.
        estimator: "pes", "full_es" or "truncated_backprop".
        pairs: Antithetic pairs of an outer step, >= 1.
        truncation: Inner steps of an outer step, >= 1.
        perturbation: Standard deviation of perturbations, > 0.
        lr: Learning rate of the outer Adam, > 0.

    Raises:
        UsageError: If a value is out of range (a ValueError).

    Example:
        >>> MetaTrainingConfig(kind="mlp", settings={"hidden_size": 8}).fingerprint()[:5]
        'meta-'
    """

    kind: str = "mlp"
    settings: Mapping[str, Any] = field(default_factory=dict)
    genome: Genome = catalog["adam"]
    estimator: str = "pes"
    pairs: int = 16
    truncation: int = 25
    perturbation: float = 0.01
    lr: float = 5e-3

    def __post_init__(self) -> None:
        if self.estimator not in _ESTIMATORS:
            raise UsageError(
                f"`estimator` must be one of {', '.join(_ESTIMATORS)}, got {self.estimator!r:.40}."
            )
        for name in ("pairs", "truncation", "perturbation", "lr"):
            if not getattr(self, name) > 0:
                raise UsageError(f"`{name}` must be greater than 0, got {getattr(self, name)}.")

    def fingerprint(self) -> str:
        """Return the same text for configurations that are meta-trained alike."""
        return f"meta-{digest(self.to_dict(), 16)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal one back."""
        names = [f.name for f in dataclasses.fields(self)]
        own = {name: getattr(self, name) for name in names}
        return own | {"settings": dict(self.settings), "genome": self.genome.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If it is none of ours (a ValueError).
        """
        try:
            return cls(**{**data, "genome": Genome.from_dict(data["genome"])})
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"This is no meta-training as `to_dict` writes it ({str(error)[:200]})."
            ) from error

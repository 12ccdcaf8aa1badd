"""A learned optimizer as data: which controller, with which weights, and a schedule around it."""

from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import math
from pathlib import Path
from typing import Any
from typing import Self

from optuna_evo.config._digest import digest
from optuna_evo.errors import UsageError


__all__ = ["ControllerConfig"]

_SHIPPED = Path(__file__).parent.parent / "learned" / "shipped"
_FILES = ("controller.json", "weights.safetensors")


@dataclass(frozen=True, kw_only=True)
class ControllerConfig:
    """A controller of the package or of one's own, as a peer of a genome.

    Args:
        controller: A name in `optuna_evo.controllers`, or a folder that `save_controller` wrote.
        lr: What its learning rate is multiplied by, > 0.
        cosine: Whether the learning rate decays along a cosine to 0 at the end of the run.
        horizon: Length of the run where a training is a segment of a longer one; None: not known.
        weights: Digest of what lies in the folder; None: that of now. A training begins only if
            it is still so.

    Raises:
        UsageError: If there is no such controller, or a number is out of range (a ValueError).

    Example:
        >>> from optuna_evo import TrainingConfig
        >>> from optuna_evo.learned import MLPController, save_controller
        >>> folder = save_controller(MLPController(), "mine")
        >>> TrainingConfig(optimizer=ControllerConfig(controller=str(folder)))
    """

    controller: str
    lr: float = 1.0
    cosine: bool = False
    horizon: int | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.controller, str):
            raise UsageError(
                f"`controller` must be a name or a folder, got {self.controller!r:.60}."
            )
        if not _is_number(self.lr) or not 0 < self.lr < math.inf:
            raise UsageError(f"`lr` must be a positive number, got {self.lr!r:.60}.")
        if not isinstance(self.cosine, bool):
            raise UsageError(f"`cosine` must be true or false, got {self.cosine!r:.60}.")
        whole = isinstance(self.horizon, int) and not isinstance(self.horizon, bool)
        if self.horizon is not None and not (whole and self.horizon >= 1):
            raise UsageError(
                f"`horizon` must be at least 1 and a whole number, or None; got "
                f"{self.horizon!r:.60}."
            )
        if self.weights is None:
            object.__setattr__(self, "weights", self.current_weights())
        elif not isinstance(self.weights, str):
            raise UsageError(f"`weights` must be a digest, got {self.weights!r:.60}.")

    @property
    def folder(self) -> Path:
        """Where the controller lies."""
        named = self.controller.replace("-", "_").isidentifier()
        shipped = _SHIPPED / self.controller
        return shipped if named and shipped.is_dir() else Path(self.controller)

    def current_weights(self) -> str:
        """Return the digest of what lies in the folder now.

        Raises:
            UsageError: If there is no controller (a ValueError).
        """
        found = hashlib.sha256()
        for name in _FILES:
            try:
                found.update((self.folder / name).read_bytes())
            except (OSError, ValueError) as error:
                shipped = sorted(path.parent.name for path in _SHIPPED.glob(f"*/{_FILES[0]}"))
                raise UsageError(
                    f"There is no controller {self.controller[:200]!r}: it must be one of "
                    f"{', '.join(shipped) or '(none)'}, or a folder with {' and '.join(_FILES)}."
                ) from error
        return found.hexdigest()[:16]

    def equation(self) -> str:
        """Return how it would be written in a training."""
        lr = "" if self.lr == 1 else f", lr={self.lr:.4g}"
        tail = "  # cosine decay" if self.cosine else ""
        return f"LearnedOptimizer({self.controller!r}{lr})  # weights {self.weights}{tail}"

    def fingerprint(self) -> str:
        """Return the same text for controllers that train alike, wherever they lie."""
        own = self.to_dict()
        del own["controller"]
        return f"controller-{digest(own, 16)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal one back."""
        return {
            "controller": self.controller,
            "lr": self.lr,
            "cosine": self.cosine,
            "horizon": self.horizon,
            "weights": self.weights,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If it is none of ours (a ValueError).
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise UsageError(
                f"This is no controller as `to_dict` writes it ({str(error)[:200]})."
            ) from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

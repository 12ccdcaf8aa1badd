"""What to do when a curve stops improving: stop, or go on with a smaller learning rate.

Both are pure functions of the values reported so far, so a training that goes on in another
process decides alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

from optuna_evo.errors import SpecError


__all__ = ["EarlyStopping", "ReduceOnPlateau"]


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when the best value is `patience` reports old.

    Args:
        patience: Reports in a row without improvement after which a training stops; >= 1.
        min_delta: An improvement is by more than this; >= 0.

    Raises:
        SpecError: If a value is out of range (a ValueError).

    Example:
        >>> EarlyStopping(patience=2).is_over([0.5, 0.7, 0.6, 0.7], higher_is_better=True)
        True
    """

    patience: int = 3
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        _check_at_least("early_stopping.patience", self.patience, 1)
        _check_at_least("early_stopping.min_delta", self.min_delta, 0)

    def is_over(self, values: Sequence[float], *, higher_is_better: bool) -> bool:
        """Tell whether a training that reported these values should stop."""
        waits = _waits(values, self.min_delta, higher_is_better)
        return bool(waits) and waits[-1] >= self.patience


@dataclass(frozen=True, kw_only=True)
class ReduceOnPlateau:
    """Multiply the learning rate by `factor` when more than `patience` reports brought nothing.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau` with an absolute threshold. It multiplies the
    schedule that the optimizer has anyway.

    Args:
        factor: In (0, 1).
        patience: Reports in a row without improvement, since the best or the last reduction, that
            change nothing yet: the next one reduces; >= 0.
        min_delta: An improvement is by more than this; >= 0.
        min_scale: The learning rate is never scaled below this share; in [0, 1].

    Raises:
        SpecError: If a value is out of range (a ValueError).

    Example:
        >>> ReduceOnPlateau(factor=0.1, patience=1).scale([0.5, 0.4, 0.4], higher_is_better=True)
        0.1
    """

    factor: float = 0.5
    patience: int = 2
    min_delta: float = 0.0
    min_scale: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise SpecError(
                f"`reduce_on_plateau.factor` must be between 0 and 1, got {self.factor}."
            )
        _check_at_least("reduce_on_plateau.patience", self.patience, 0)
        _check_at_least("reduce_on_plateau.min_delta", self.min_delta, 0)
        if not 0 <= self.min_scale <= 1:
            raise SpecError(
                f"`reduce_on_plateau.min_scale` must be in [0, 1], got {self.min_scale}."
            )

    def scale(self, values: Sequence[float], *, higher_is_better: bool) -> float:
        """Return what the learning rate is multiplied by after these values."""
        scale, since = 1.0, 0
        for wait in _waits(values, self.min_delta, higher_is_better):
            since = 0 if wait == 0 else since + 1
            if since > self.patience:
                scale, since = max(scale * self.factor, self.min_scale), 0
        return scale


def _waits(values: Sequence[float], min_delta: float, higher_is_better: bool) -> list[int]:
    """Return for each value how many reports it is since the best so far improved; NaN never."""
    best, wait, waits = -math.inf, 0, list[int]()
    for value in values:
        merit = value if higher_is_better else -value
        improved = merit > best + min_delta
        best, wait = (merit, 0) if improved else (best, wait + 1)
        waits.append(wait)
    return waits


def _check_at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise SpecError(f"`{name}` must be at least {least}, got {value}.")

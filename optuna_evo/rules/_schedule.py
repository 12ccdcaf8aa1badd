"""Hyperparameters over the steps of a training, as a lineage has found them."""

import bisect
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import sys
from typing import Any
from typing import Self

from optuna_evo.errors import UsageError


__all__ = ["Piece", "Schedule"]

_MOST_SHOWN = 100  # characters of a wrong value in a message


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Steps with the same hyperparameters.

    Args:
        trial: Number of the trial that trained them.
        first_step: Steps before.
        steps: How many.
        value: The value reported at their end.
        params: Hyperparameters by name.

    Raises:
        UsageError: If a value has another type or is out of range.
    """

    trial: int
    first_step: int
    steps: int
    value: float
    params: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, least in (("trial", 0), ("first_step", 0), ("steps", 1)):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise UsageError(
                    f"`{name}` of a piece must be a whole number of at least {least}, got "
                    f"{_cut(number)}."
                )
        if not _is_number(self.value):
            raise UsageError(
                f"`value` of a piece must be a finite number, got {_cut(self.value)}."
            )
        if not isinstance(self.params, Mapping) or not all(
            isinstance(name, str) for name in self.params
        ):
            raise UsageError(
                f"`params` of a piece must be a table of hyperparameters, got {_cut(self.params)}."
            )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Pieces that follow each other from fresh weights.

    Args:
        study: Name of the study that found it.
        task: Name of the task.
        pieces: In order.

    Raises:
        UsageError: If there is no piece, or they do not follow each other from step 0.

    Example:
        >>> piece = Piece(trial=0, first_step=0, steps=5, value=1.2, params={"lr": 0.1})
        >>> Schedule(study="mine", task="gpt2", pieces=[piece]).lr(3)
        0.1
    """

    study: str
    task: str
    pieces: Sequence[Piece]

    def __post_init__(self) -> None:
        for name in ("study", "task"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(
                    f"`{name}` of a schedule must be a name, got {_cut(getattr(self, name))}."
                )
        object.__setattr__(self, "pieces", tuple(self.pieces))
        ends = [0, *(piece.first_step + piece.steps for piece in self.pieces)]
        starts = [piece.first_step for piece in self.pieces]
        if not starts or starts != ends[:-1]:
            raise UsageError(
                "The pieces of a schedule must follow each other from step 0, got "
                f"starts={_cut(starts)}."
            )

    @property
    def total_steps(self) -> int:
        """Number of steps."""
        last = self.pieces[-1]
        return last.first_step + last.steps

    def at(self, step: int) -> Mapping[str, Any]:
        """Return the hyperparameters of a step, counted from 0; the last ones after the end."""
        starts = [piece.first_step for piece in self.pieces]
        return self.pieces[max(0, bisect.bisect_right(starts, step) - 1)].params

    def lr(self, step: int, *, name: str = "lr") -> float:
        """Return the learning rate of a step, a linear warm-up over `warmup_steps` included."""
        params = self.at(step)
        if name not in params:
            raise UsageError(f"The schedule holds no {name!r}, only {', '.join(params) or '–'}.")
        rate, warmup = params[name], params.get("warmup_steps", 1)
        if not _is_number(rate) or not _is_number(warmup):
            raise UsageError(
                f"{name!r} and 'warmup_steps' of a schedule must be numbers, got {_cut(rate)} and "
                f"{_cut(warmup)}."
            )
        return float(rate) * min(1.0, (step + 1) / max(1.0, float(warmup)))

    def stretched(self, total_steps: int) -> Self:
        """Return the schedule over more or fewer steps, each piece in proportion to its length.

        A warm-up counts steps and stays as it is. In a shorter schedule, pieces that get no step
        are left out.

        Args:
            total_steps: Number of steps, at least 1.

        Raises:
            UsageError: If there is no step.

        Example:
            >>> pieces = [
            ...     Piece(trial=k, first_step=5 * k, steps=5, value=1.0, params={"lr": lr})
            ...     for k, lr in enumerate((0.1, 0.2))
            ... ]
            >>> long = Schedule(study="mine", task="gpt2", pieces=pieces).stretched(31)
            >>> [(piece.first_step, piece.steps) for piece in long.pieces]
            [(0, 16), (16, 15)]
        """
        if total_steps < 1:
            raise UsageError(f"A schedule must have at least 1 step, got {total_steps}.")
        old = self.total_steps

        def moved(step: int) -> int:  # rounded half up, without floats: exact for any length
            return (2 * step * total_steps + old) // (2 * old)

        spans = [(p, moved(p.first_step), moved(p.first_step + p.steps)) for p in self.pieces]
        pieces = [replace(p, first_step=a, steps=b - a) for p, a, b in spans if b > a]
        return replace(self, pieces=pieces)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal schedule back."""
        return {**asdict(self), "pieces": [asdict(piece) for piece in self.pieces]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            UsageError: If it is no schedule.
        """
        try:
            return cls(**{**data, "pieces": [Piece(**piece) for piece in data["pieces"]]})
        except (KeyError, TypeError) as error:
            raise UsageError(f"This is no exported schedule ({str(error)[:_MOST_SHOWN]}).") from (
                error
            )


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def _cut(value: object) -> str:
    """Return the value for a message, on one line of bounded length."""
    try:
        return repr(value)[:_MOST_SHOWN]
    except (RecursionError, ValueError):  # nested too deeply; more digits than Python writes
        return f"a {type(value).__name__}"

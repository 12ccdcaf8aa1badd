"""Optimizers of torch by their names, as data: which one, its arguments, which parameters.

Those of the package pytorch-optimizer have its name before theirs.

Parameters are routed as in torchtitan and HeavyBall: by ordered patterns, the first match wins. A
group inherits nothing from another, so a parameter's optimizer is read off one line.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import re
from typing import Any
from typing import Self

from optuna_evo.config._digest import digest
from optuna_evo.errors import UsageError


__all__ = ["NamedOptimizer", "ParamGroup"]


@dataclass(frozen=True, kw_only=True)
class ParamGroup:
    """An optimizer of torch for the parameters that match.

    Args:
        optimizer: Name of a class of `torch.optim`, such as "AdamW", or of the package
            pytorch-optimizer, such as "pytorch_optimizer.SOAP".
        options: Its arguments; the class's defaults for the others.
        pattern: Regular expression, searched in the parameter's name; empty: all names.
        dims: Numbers of dimensions that a parameter may have, such as (2,) for matrices; empty:
            any.

    Raises:
        UsageError: If the pattern is no regular expression (a ValueError).

    Example:
        >>> ParamGroup(optimizer="Muon", options={"lr": 0.02}, pattern=r"weight$", dims=(2,))
    """

    optimizer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pattern: str = ""
    dims: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, str) or not isinstance(self.pattern, str):
            raise UsageError(
                "`optimizer` and `pattern` of a group must be texts, got "
                f"{_short(self.optimizer)} and {_short(self.pattern)}."
            )
        if not isinstance(self.options, Mapping) or not all(map(_is_text, self.options)):
            raise UsageError("`options` of a group must be a table of arguments by their names.")
        if not all(map(_is_int, self.dims)):
            raise UsageError("`dims` of a group must be whole numbers, such as (2,) for matrices.")
        object.__setattr__(self, "dims", tuple(self.dims))
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(
                f"`pattern` must be a regular expression on names of parameters, got "
                f"{self.pattern!r} ({error}): escape special characters with a backslash."
            ) from error

    def matches(self, name: str, n_dims: int) -> bool:
        """Tell whether a parameter of this name and number of dimensions belongs here."""
        fits = not self.dims or n_dims in self.dims
        return fits and re.search(self.pattern, name) is not None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        data: dict[str, Any] = {"optimizer": self.optimizer, "options": dict(self.options)}
        data |= {"pattern": self.pattern} if self.pattern else {}
        return data | ({"dims": list(self.dims)} if self.dims else {})


@dataclass(frozen=True, kw_only=True)
class NamedOptimizer:
    """One or more optimizers of torch, as a peer of a genome.

    Args:
        groups: Who trains which parameters: the first group that matches a parameter does. All
            parameters must match one.
        warmup_steps: Steps over which the learning rate rises linearly.
        cosine: Whether the learning rate decays along a cosine to 0 at the end of the run.
        horizon: Length in steps that the cosine refers to where a training is a segment of a
            longer one; None: not known.

    Raises:
        UsageError: If there is no group, or a number is out of range (a ValueError).

    Example:
        >>> NamedOptimizer.of("AdamW", lr=1e-3, weight_decay=0.1)
        >>> matrices = ParamGroup(optimizer="Muon", options={"lr": 0.02}, dims=(2,))
        >>> NamedOptimizer(groups=[matrices, ParamGroup(optimizer="AdamW")], cosine=True)
    """

    groups: Sequence[ParamGroup]
    warmup_steps: int = 0
    cosine: bool = False
    horizon: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        if not self.groups:
            raise UsageError(
                "`groups` must hold at least one group: one with an empty pattern takes all "
                "parameters."
            )
        if not _is_int(self.warmup_steps) or self.warmup_steps < 0:
            raise UsageError(
                f"`warmup_steps` must be at least 0 and a whole number, got "
                f"{_short(self.warmup_steps)}."
            )
        if self.horizon is not None and (not _is_int(self.horizon) or self.horizon < 1):
            raise UsageError(
                f"`horizon` must be at least 1 and a whole number, or None; got "
                f"{_short(self.horizon)}."
            )
        if not isinstance(self.cosine, bool):
            raise UsageError(f"`cosine` must be true or false, got {_short(self.cosine)}.")

    @classmethod
    def of(cls, name: str, **options: Any) -> Self:
        """Return one optimizer for all parameters.

        Args:
            name: As of a `ParamGroup`.
            options: Its arguments.
        """
        return cls(groups=[ParamGroup(optimizer=name, options=options)])

    def equation(self) -> str:
        """Return how torch's users would write it, one group a line."""
        lines = []
        for group in self.groups:
            options = ", ".join(f"{key}={value!r}" for key, value in group.options.items())
            where = [f"names with {group.pattern!r}"] if group.pattern else []
            where += [f"{'/'.join(map(str, group.dims))} dimensions"] if group.dims else []
            tail = f"  # {', '.join(where)}" if where else ""
            package = "" if "." in group.optimizer else "torch.optim."
            lines.append(f"{package}{group.optimizer}({options}){tail}")
        schedule = [f"warm-up over {self.warmup_steps} steps"] if self.warmup_steps else []
        schedule += ["cosine decay"] if self.cosine else []
        return "\n".join([*lines, *([f"# {', '.join(schedule)}"] if schedule else [])])

    def fingerprint(self) -> str:
        """Return the same text for optimizers that are written alike."""
        return f"torch-{digest(self.to_dict(), 16)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal optimizer back."""
        return {
            "groups": [group.to_dict() for group in self.groups],
            "warmup_steps": self.warmup_steps,
            "cosine": self.cosine,
            "horizon": self.horizon,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If it is none of ours (a ValueError).
        """
        try:
            groups = [ParamGroup(**group) for group in data["groups"]]
            return cls(**{**data, "groups": groups})
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"This is no optimizer of torch as `to_dict` writes it ({str(error)[:200]})."
            ) from error


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_int(value: object) -> bool:
    # beyond 2**63 it is no number of steps, and too long for a message
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _short(value: object) -> str:
    try:
        return repr(value)[:60]
    except (RecursionError, ValueError):  # nested too deeply; more digits than Python writes
        return f"a {type(value).__name__}"

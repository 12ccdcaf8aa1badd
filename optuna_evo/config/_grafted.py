"""One optimizer's direction with another one's step size, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Self

from optuna_evo.config._digest import digest
from optuna_evo.config._plain import plain_from_dict
from optuna_evo.config._plain import plain_to_dict
from optuna_evo.config._plain import PlainOptimizer
from optuna_evo.errors import UsageError


__all__ = ["GraftedOptimizer"]


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

    direction: PlainOptimizer
    magnitude: PlainOptimizer

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
            "direction": plain_to_dict(self.direction),
            "magnitude": plain_to_dict(self.magnitude),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            UsageError: If it is none of ours (a ValueError).
        """
        try:
            return cls(
                direction=plain_from_dict(data["direction"]),
                magnitude=plain_from_dict(data["magnitude"]),
            )
        except (KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"These are no two optimizers as `to_dict` writes them ({str(error)[:200]})."
            ) from error

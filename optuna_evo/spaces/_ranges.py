"""Ranges that a space draws from, and how to switch one off where there is no None."""

from typing import Literal
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import optuna

__all__ = ["Range", "suggest_decay", "WholeRange"]

Off = Literal[False] | tuple[()] | None
"""Not searched. TOML has no None: there it is `false`, as in `space.dropout = false`."""
Range = tuple[float, float] | Off
WholeRange = tuple[int, int] | Off


def suggest_decay(trial: "optuna.trial.BaseTrial", low: float, high: float) -> float:
    """Suggest `weight_decay`: on a logarithmic scale, or on a linear one where it may be 0."""
    return trial.suggest_float("weight_decay", low, high, log=low != 0)

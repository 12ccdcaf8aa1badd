"""Which of two trials is better: the one order that samplers, warm starts and reports share.

Constrained domination (Deb 2000): what is feasible is better than what is not, of infeasible
trials the one with the smaller total violation is better, and values decide among the rest.
"""

from collections.abc import Mapping
import math
from types import MappingProxyType
from typing import Final
from typing import NamedTuple

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.surrogates import is_ordinary


__all__ = ["constraints_of", "is_feasible", "loss_of", "Rank", "rank_of", "total_violation"]

_PREFIX: Final = "constraints"  # of the system attributes in which Optuna keeps constraints
_NO_CONSTRAINTS: Final[Mapping[str, float]] = MappingProxyType({})


class Rank(NamedTuple):
    """The place of a trial among others: ranks compare as tuples, the lowest is best."""

    is_pruned: bool
    violation: float
    """The sum of its positive constraints; 0 for a feasible trial."""
    loss: float
    """Its value, negated where higher is better; infinite without an ordinary value."""


def rank_of(trial: FrozenTrial, *, maximize: bool = False) -> Rank:
    """Return the rank of a finished trial that has not failed.

    Example:
        >>> from optuna.trial import create_trial
        >>> cheap = create_trial(value=1.0, constraints={"memory": 2.0})
        >>> rank_of(create_trial(value=3.0)) < rank_of(cheap)
        True
    """
    is_pruned = trial.state != TrialState.COMPLETE
    return Rank(is_pruned, total_violation(constraints_of(trial)), loss_of(trial, maximize))


def is_feasible(trial: FrozenTrial) -> bool:
    """Tell whether no constraint of a trial is above 0; a trial without any is feasible.

    Example:
        >>> from optuna.trial import create_trial
        >>> is_feasible(create_trial(value=1.0, constraints={"memory": 0.0}))
        True
    """
    return total_violation(constraints_of(trial)) == 0.0


def loss_of(trial: FrozenTrial, maximize: bool) -> float:
    """Return what is minimised; infinite without an ordinary value, of a pruned trial the last."""
    value = trial.value
    if value is None and trial.state == TrialState.PRUNED and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    if value is None or not is_ordinary(value):
        return math.inf
    return -value if maximize else value


def constraints_of(trial: FrozenTrial) -> Mapping[str, float]:
    """Return the constraints of a trial by name, those of Optuna 4 by their position."""
    # a plain loop: most studies have none, and samplers read every trial at every ask
    for key in trial.system_attrs:
        if key.startswith(_PREFIX):
            return trial.constraints
    return _NO_CONSTRAINTS


def total_violation(constraints: Mapping[str, float]) -> float:
    """Return the sum of positive constraints; infinite if one is NaN or as good as infinite."""
    if not constraints:
        return 0.0
    if any(math.isnan(c) or (c > 0.0 and not is_ordinary(c)) for c in constraints.values()):
        return math.inf
    return sum((c for c in constraints.values() if c > 0.0), 0.0)

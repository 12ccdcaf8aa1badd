"""What a study has shown so far, as plain values for a surrogate."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._cost import cost_of
from optuna_evo.samplers._rank import constraints_of
from optuna_evo.samplers._rank import total_violation
from optuna_evo.samplers._retries import replaced


FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Observation:
    """A finished trial with a loss to learn from, lower is better, and its constraints."""

    number: int
    params: Mapping[str, Any]
    loss: float
    constraints: Mapping[str, float] = field(default_factory=dict)
    cost: float = math.nan  # what it took; NaN where that is not known, or not asked for

    @property
    def violation(self) -> float:
        """The sum of its positive constraints; 0 if it is feasible."""
        return total_violation(self.constraints)


@dataclass(frozen=True)
class History:
    """The trials of a study other than the one that asks, in the order of their numbers.

    The space has every parameter that a finished trial had, with its most recent range, but those
    of a single value; `optional` are those that some of the trials lack.
    A complete trial counts with its value; infinite values stay infinite. A pruned trial counts
    with its last value or the median of the complete ones, whichever is worse: it was stopped for
    being poor. Failed and running trials have no loss, only parameters. A failed trial that
    is or will be run again, because its worker was lost, says nothing and is left out.
    """

    space: Mapping[str, BaseDistribution]
    optional: frozenset[str]
    observations: Sequence[Observation]
    running: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, Any]]
    n_complete: int
    n_earlier: int  # trials with a lower number than the asking one that have not failed

    @property
    def violations(self) -> NDArray[np.float64]:
        """The violation of each observation, (n,); 0 for a feasible one."""
        if not any(o.constraints for o in self.observations):
            return np.zeros(len(self.observations))
        return np.array([o.violation for o in self.observations])

    @property
    def costs(self) -> NDArray[np.float64]:
        """The cost of each observation, (n,)."""
        return np.array([o.cost for o in self.observations])

    def within(self, space: Mapping[str, BaseDistribution]) -> "History":
        """Return the history of the given parameters only, with these ranges."""
        free = {name: space[name] for name in sorted(space) if not space[name].single()}
        return replace(self, space=free, optional=self.optional & free.keys())


def read_history(
    study: Study, trial: FrozenTrial | None = None, cost: str | None = None
) -> History:
    """Read the trials of a study that `trial` may learn from; all of them for None.

    Args:
        study: The study.
        trial: The trial that asks.
        cost: What trials cost, see `cost_of`; None: cost is of no interest.
    """
    trials = study.get_trials(deepcopy=False)
    given_back = replaced(trials)
    asking = len(trials) if trial is None else trial.number
    others = [t for t in trials if t.number != asking and t.number not in given_back]
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    complete = [
        (t, sign * t.value)
        for t in others
        if t.state == TrialState.COMPLETE and t.value is not None
    ]
    median = sorted(loss for _, loss in complete)[len(complete) // 2] if complete else 0.0
    pruned = [
        (t, max(median, _last_loss(t, sign))) for t in others if t.state == TrialState.PRUNED
    ]
    finished = sorted([*complete, *pruned], key=lambda pair: pair[0].number)
    # a trial that was pruned cost less than its parameters would
    costs = {
        t.number: cost_of(t, cost)
        for t, _ in finished
        if cost is not None and t.state == TrialState.COMPLETE
    }
    union: dict[str, BaseDistribution] = {}
    for t, _ in finished:
        union.update(t.distributions)
    lacking = [t for t, _ in finished if len(t.params) < len(union)]
    # A union, not an intersection: one odd trial must not remove a parameter for ever.
    space = {name: union[name] for name in sorted(union) if not union[name].single()}
    return History(
        space=space,
        optional=frozenset(name for name in space if any(name not in t.params for t in lacking)),
        observations=[
            Observation(t.number, t.params, loss, constraints_of(t), costs.get(t.number, math.nan))
            for t, loss in finished
        ],
        running=[t.params for t in others if t.state == TrialState.RUNNING and t.params],
        failed=[t.params for t in others if t.state == TrialState.FAIL and t.params],
        n_complete=len(complete),
        n_earlier=sum(t.number < asking and t.state != TrialState.FAIL for t in others),
    )


def read_space(study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
    """Return the space of the history that `trial` may learn from."""
    trials = study.get_trials(deepcopy=False)
    given_back = replaced(trials)
    union: dict[str, BaseDistribution] = {}
    for t in trials:
        if t.state in FINISHED and t.number != trial.number and t.number not in given_back:
            if t.state != TrialState.COMPLETE or t.value is not None:
                union.update(t.distributions)
    return {name: union[name] for name in sorted(union) if not union[name].single()}


def _last_loss(trial: FrozenTrial, sign: float) -> float:
    """Return the last reported value as a loss; infinite if there is none or it is NaN."""
    if not trial.intermediate_values:
        return math.inf
    last = sign * trial.intermediate_values[max(trial.intermediate_values)]
    return math.inf if math.isnan(last) else last

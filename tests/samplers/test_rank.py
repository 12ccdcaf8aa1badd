"""The one order of trials that samplers, warm starts and reports share."""

import itertools
import math
from typing import Any

import optuna
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers import is_feasible
from optuna_evo.samplers import rank_of


def trial(
    value: float | None = None, memory: float | None = None, *, pruned: bool = False
) -> FrozenTrial:
    return create_trial(
        value=value,
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        constraints=None if memory is None else {"memory": memory},
    )


BEST_FIRST = [
    trial(1.0),
    trial(2.0, -5.0),
    trial(3.0, 0.0),
    trial(1e301),  # as good as infinite
    trial(0.5, 1e-9),
    trial(-9.0, 2.0),
    trial(-8.0, 2.0),
    trial(-9.0, math.inf),
    trial(-9.0, pruned=True),
    trial(-9.0, 1.0, pruned=True),
]


@pytest.mark.parametrize("better, worse", list(itertools.combinations(range(len(BEST_FIRST)), 2)))
def test_complete_before_pruned_then_feasible_then_less_violated_then_better(
    better: int, worse: int
) -> None:
    assert rank_of(BEST_FIRST[better]) < rank_of(BEST_FIRST[worse])


def test_of_a_maximised_study_the_higher_of_two_feasible_values_is_better() -> None:
    ranks = [rank_of(trial(value), maximize=True) for value in (3.0, 1.0, -math.inf)]
    assert ranks == sorted(ranks) and len(set(ranks)) == 3


def test_violations_of_several_constraints_add_up_and_slack_does_not_count() -> None:
    each = {"memory": 2.0, "seconds": -100.0, "size": 0.5}
    assert rank_of(create_trial(value=0.0, constraints=each)).violation == 2.5
    assert not is_feasible(create_trial(value=0.0, constraints=each))


@pytest.mark.parametrize(
    "constraints, violation",
    [([0.0, -1.0], 0.0), ([1.0, 2.0, -9.0], 3.0), ([math.nan], math.inf), (None, 0.0), ([], 0.0)],
)
def test_constraints_as_optuna_4_wrote_them_count(constraints: Any, violation: float) -> None:
    old = create_trial(value=0.0, system_attrs={"constraints": constraints})
    assert rank_of(old).violation == violation
    assert is_feasible(old) == (violation == 0.0)


def test_optuna_agrees_on_what_is_feasible_and_best() -> None:
    study = optuna.create_study()
    study.add_trials([t for t in BEST_FIRST if t.state == TrialState.COMPLETE][::-1])
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert min(complete, key=rank_of).number == study.best_trial.number


def test_a_pruned_trial_counts_with_its_last_report() -> None:
    reported = create_trial(state=TrialState.PRUNED, intermediate_values={1: 3.0, 2: 2.0})
    assert rank_of(reported).loss == 2.0
    assert rank_of(create_trial(state=TrialState.PRUNED)).loss == math.inf

"""Which weights there are, and who goes on from which: from trials alone."""

from typing import Any

from optuna.study import StudyDirection
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import PARENT
from optuna_evo.search import best_of
from optuna_evo.search import living
from optuna_evo.search._ancestry import deepest
from optuna_evo.search._ancestry import relatives


def make(*descriptions: dict[str, Any]) -> list[FrozenTrial]:
    """Return complete trials of these user attributes, by number; `value` is their value."""
    trials = []
    for number, attrs in enumerate(descriptions):
        own = {key: value for key, value in attrs.items() if key != "value"}
        trial = create_trial(value=attrs.get("value", 0.0), user_attrs=own)
        trial.number = number
        trials.append(trial)
    return trials


def steps(first: int, own: int, **more: Any) -> dict[str, Any]:
    return {"first_step": first, "optimizer_steps": own, **more}


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        ([steps(10, 5), steps(10, 4)], 0),  # 15 steps and 14
        ([steps(0, 8), steps(6, 4)], 1),  # 8 and 10
        ([steps(0, 8), steps(4, 4)], 1),  # as many: the latest
        ([steps(0, 8), steps(8, 8, **{DIVERGED.key: True})], 0),  # left no weights
    ],
)
def test_shared_weights_are_those_that_have_seen_most_steps(
    descriptions: list[dict[str, Any]], expected: int
) -> None:
    trials = make(*descriptions)
    last = deepest(trials)
    assert last is not None and last.number == expected
    alive = living(trials, inherit="shared", direction=StudyDirection.MINIMIZE)
    assert [trial.number for trial in alive] == [expected]


@pytest.mark.parametrize(("direction", "expected"), [("MINIMIZE", 1), ("MAXIMIZE", 0)])
def test_the_best_is_the_earliest_of_equals(direction: str, expected: int) -> None:
    trials = make({"value": 2.0}, {"value": 1.0}, {"value": 1.0}, {"value": 2.0})
    best = best_of(trials, StudyDirection[direction])
    assert best is not None and best.number == expected


def test_relatives_are_ancestors_then_descendants_that_have_weights() -> None:
    trials = make({}, {PARENT.key: 0}, {PARENT.key: 1}, {PARENT.key: 2}, {PARENT.key: 0})
    assert [trial.number for trial in relatives(trials, 1)] == [1, 0, 2, 3]
    trials[0].state = TrialState.FAIL
    assert [trial.number for trial in relatives(trials, 1)] == [1, 2, 3]
    assert deepest([]) is None and list(relatives(trials, None)) == []

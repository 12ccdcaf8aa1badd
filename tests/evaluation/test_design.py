"""Where tuning looks: alike for all, in range, and the same whoever asks."""

from collections.abc import Sequence
import math
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
import pytest

from optuna_evo.attributes import JUDGE_SLOT
from optuna_evo.evaluation._design import by_slot
from optuna_evo.evaluation._design import propose
from optuna_evo.evaluation._design import SlotSampler
from optuna_evo.evaluation._design import stage_ends


SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "momentum": FloatDistribution(0.0, 0.95),
    "schedule": CategoricalDistribution(["cosine", "constant"]),
}
FIRST = {"lr": 1e-3, "momentum": 0.9, "schedule": "cosine"}


def loss(params: dict[str, Any]) -> float:
    away = params["schedule"] == "constant"
    return abs(params["lr"] - 0.02) + abs(params["momentum"] - 0.5) / 10 + away


def tune(budget: int, words: Sequence[int] = (0,)) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for end in stage_ends(budget):
        known = [(params, loss(params)) for params in found]
        found += [
            propose(slot, known, SPACE, FIRST, words=words) for slot in range(len(found), end)
        ]
    return found


def test_stages_end_at_every_eighth_trial_and_with_the_budget() -> None:
    assert [stage_ends(n) for n in (1, 8, 9, 20)] == [[1], [8], [8, 9], [8, 16, 20]]


def test_the_first_trial_is_the_defaults_and_all_are_in_range() -> None:
    found = tune(64)
    assert found[0] == FIRST
    for params in found:
        assert all(SPACE[n]._contains(SPACE[n].to_internal_repr(v)) for n, v in params.items())


def test_a_small_budget_is_the_beginning_of_a_large_one() -> None:
    assert tune(16) == tune(64)[:16] and tune(5) == tune(64)[:5]


def test_another_contestant_has_other_draws() -> None:
    assert tune(8)[1:] != tune(8, words=(1,))[1:]


def test_the_first_stage_is_spread_over_the_whole_space() -> None:
    first = tune(8)[1:]
    assert {int(p["momentum"] / 0.95 * 7) for p in first} == set(range(7))
    assert {int((4 + math.log10(p["lr"])) / 3 * 7) for p in first} == set(range(7))


def test_later_stages_close_in_on_the_best() -> None:
    found = tune(48)
    best = min(found[:40], key=loss)
    near = [p for p in found[42:48]]
    assert all(0.8 < p["lr"] / best["lr"] < 1.35 for p in near)  # 3 decades · 0.04
    assert min(map(loss, found)) < 0.25 * min(map(loss, found[:8]))


def test_a_space_of_nothing_is_the_defaults() -> None:
    assert propose(5, [], {}, {}, words=[0]) == {}


def study(parameters: Any = None) -> optuna.Study:
    made = optuna.create_study()
    space = {"x": FloatDistribution(0.0, 10.0)}
    made.sampler = SlotSampler(space, parameters or (lambda slot, done: {"x": float(slot)}))
    return made


def test_trials_take_the_lowest_free_slot_and_a_failed_one_gives_it_back() -> None:
    made = study()
    first, second = made.ask(), made.ask()
    assert [t.suggest_float("x", 0, 10) for t in (first, second)] == [0, 1]
    made.tell(first, state=optuna.trial.TrialState.FAIL)
    assert made.ask().suggest_float("x", 0, 10) == 0
    made.tell(second, 1.0)
    assert {slot: trial.number for slot, trial in by_slot(made.trials).items()} == {1: 1}


def test_a_trial_that_was_lost_keeps_its_slot() -> None:
    made = study()
    made.enqueue_trial({}, user_attrs={JUDGE_SLOT.key: 7})
    assert made.ask().suggest_float("x", 0, 10) == 7


def test_of_two_that_took_a_slot_at_once_the_later_one_moves() -> None:
    made = study()
    sampler = made.sampler
    assert isinstance(sampler, SlotSampler)
    first = made.ask()
    second = made.ask()
    # as if the second had looked before the first had written
    made._storage.set_trial_user_attr(second._trial_id, JUDGE_SLOT.key, 0)
    assert JUDGE_SLOT.read(first.user_attrs) == 0
    frozen = made._storage.get_trial(second._trial_id)
    frozen.user_attrs.pop(JUDGE_SLOT.key)
    sampler.before_trial(made, frozen)
    assert JUDGE_SLOT.read(made.trials[1].user_attrs) == 1


def test_what_is_in_no_space_is_refused() -> None:
    with pytest.raises(ValueError, match="'y' is in no space"):
        study().ask().suggest_float("y", 0, 1)

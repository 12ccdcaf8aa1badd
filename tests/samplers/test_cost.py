"""Where cost is known, what is cheap for what it promises comes first; else nothing changes."""

import datetime
import math
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers import cost_of
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._cost import learn_price
from optuna_evo.samplers._cost import POWER
from optuna_evo.samplers._cost import Price
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._memory import LastResult
from optuna_evo.surrogates import SpaceEncoding


TWO = SpaceEncoding({name: FloatDistribution(0.0, 1.0) for name in "ab"})


def finished(seconds: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    trial = create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None)
    trial.datetime_start = datetime.datetime(2026, 1, 1)
    trial.datetime_complete = trial.datetime_start + datetime.timedelta(seconds=seconds)
    return trial


def price_of(costs: Any, features: Any) -> Price | None:
    units = np.asarray(features) + 0.5
    return learn_price(np.asarray(costs, dtype=float), TWO, units, LastResult())


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, True, "3", None, [1]])
def test_a_cost_that_is_no_positive_number_is_not_known(value: Any) -> None:
    assert math.isnan(cost_of(create_trial(value=1.0, user_attrs={"c": value}), "c"))


def test_seconds_are_the_duration_of_a_trial() -> None:
    assert cost_of(finished(90.0), "seconds") == 90.0
    assert math.isnan(cost_of(finished(0.0), "seconds"))
    assert math.isnan(cost_of(finished(90.0), "gpu_hours"))


def test_pruned_trials_tell_nothing_of_the_cost_of_a_whole_one() -> None:
    study = optuna.create_study()
    study.add_trials([finished(9.0), finished(1.0, TrialState.PRUNED)])
    costs = read_history(study, None, "seconds").costs
    assert costs[0] == 9.0 and math.isnan(costs[1])
    assert np.isnan(read_history(study).costs).all()


def test_the_model_of_cost_finds_what_is_cheap() -> None:
    rng = np.random.default_rng(0)
    features, asked = rng.random((30, 2)), rng.random((50, 2))
    price = price_of(np.exp(4.0 * features[:, 0]), features)
    assert price is not None
    predicted = price.log_cost(asked) / POWER
    assert np.abs(predicted - 4.0 * asked[:, 0]).max() < 0.5
    # of two that are the same in what they give, the cheaper one is worth more
    worth = price.worth(np.zeros(50), 1.0, asked)
    assert np.argmin(worth) == np.argmin(predicted)
    # where none promises a gain, the best one is worth most, whatever it costs
    for shift in (0.1, 10.0, 1e6):
        losses = shift + rng.random(50)
        assert np.argmin(price.worth(losses, 0.0, asked)) == np.argmin(losses)


def test_costs_that_tell_nothing_are_no_model() -> None:
    features = np.random.default_rng(0).random((6, 2))
    assert price_of([1.0] * 6, features) is None
    assert price_of([1.0, 2.0, 3.0, *[math.nan] * 3], features) is None
    price = price_of([1e-300, 1e300, 5.0, 2.0, math.nan, 1.0], features)
    assert price is not None and np.isfinite(price.log_cost(features)).all()


def trials_of(sampler: BaseSampler, n: int, cost: Any, *, bend: float = 0.01) -> list[FrozenTrial]:
    study = optuna.create_study(study_name="s", sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if cost is not None:
            trial.set_user_attr("cost", cost(x, y))
        return (x - 0.6) ** 2 + bend * (y - 0.4) ** 2

    study.optimize(objective, n_trials=n)
    return study.trials


MAKERS = [
    pytest.param(lambda seed=1, **o: ThompsonSampler(seed=seed, **o), id="thompson"),
    pytest.param(
        lambda seed=1, **o: HybridSampler(population_size=6, seed=seed, **o), id="hybrid"
    ),
    pytest.param(lambda seed=1, **o: MetaPriorSampler(seed=seed, **o), id="meta"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_of_what_is_as_good_the_cheap_is_preferred(make: Any) -> None:
    def cost(x: float, y: float) -> float:
        return math.exp(5.0 * y)

    spent = [0.0, 0.0]
    for seed in range(1, 5):
        aware = trials_of(make(seed=seed, cost="cost"), 30, cost, bend=0.0)
        blind = trials_of(make(seed=seed), 30, cost, bend=0.0)
        spent[0] += sum(t.user_attrs["cost"] for t in aware)
        spent[1] += sum(t.user_attrs["cost"] for t in blind)
        assert min(t.value for t in aware if t.value is not None) < 5e-3
    assert spent[0] < 0.8 * spent[1]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("cost", [None, lambda x, y: 3.0, lambda x, y: "no number"])
def test_without_costs_that_differ_nothing_changes(make: Any, cost: Any) -> None:
    aware, blind = trials_of(make(cost="cost"), 16, cost), trials_of(make(), 16, cost)
    assert [t.params for t in aware] == [t.params for t in blind]


@pytest.mark.parametrize("make", MAKERS)
def test_a_study_goes_on_in_another_process_as_in_the_same(make: Any) -> None:
    def cost(x: float, y: float) -> float:
        return math.exp(5.0 * y)

    whole = trials_of(make(cost="cost"), 20, cost)
    study = optuna.create_study(study_name="s", sampler=make(cost="cost"))
    study.add_trials(whole[:19])
    asked = study.ask()
    params = {"x": asked.suggest_float("x", 0, 1), "y": asked.suggest_float("y", 0, 1)}
    if not isinstance(study.sampler, HybridSampler):  # added trials are no members of a population
        assert params == whole[19].params


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("cost", ["", "  ", 3])
def test_a_cost_that_is_no_name_is_refused(make: Any, cost: Any) -> None:
    with pytest.raises(ValueError, match="`cost` must be"):
        make(cost=cost)

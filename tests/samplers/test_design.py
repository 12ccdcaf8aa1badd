"""The start of a study: it covers the space, whoever asks, and begins with what a user names."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
import pytest

from optuna_evo.errors import UsageError
from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._design import design_value
from optuna_evo.samplers._design import even
from optuna_evo.samplers._first import check_first


X = FloatDistribution(0.0, 1.0)
RATE = FloatDistribution(1e-6, 1.0, log=True)
KIND = CategoricalDistribution(["a", "b", "c"])

SAMPLERS = [
    pytest.param(lambda **k: GASampler(population_size=8, seed=0, **k), id="GA"),
    pytest.param(lambda **k: ThompsonSampler(seed=0, **k), id="Thompson"),
    pytest.param(lambda **k: HybridSampler(seed=0, **k), id="Hybrid"),
]
Make = Callable[..., BaseSampler]


def conditional(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    trial.suggest_float("rate", 1e-6, 1.0, log=True)
    return trial.suggest_float(f"x_{kind}", 0.0, 1.0)


@pytest.mark.parametrize("key", [(0, 0, 1), (7, 3, 2), (1, 2, 3)])
def test_each_power_of_two_of_numbers_lies_in_as_many_parts(key: tuple[int, ...]) -> None:
    values = [even(key, index) for index in range(64)]
    for n in (1, 2, 4, 8, 16, 32, 64):
        assert sorted(int(value * n) for value in values[:n]) == list(range(n))


def test_parameters_are_not_correlated() -> None:
    orders = {
        tuple(int(8 * even((0, 0, name), index)) for index in range(8)) for name in range(50)
    }
    assert len(orders) > 45


def test_a_design_of_any_length_stays_in_the_range() -> None:
    assert all(0.0 <= even((0, 0, 1), index) < 1.0 for index in (1022, 1023, 1024, 10**6))


def test_each_choice_comes_once_in_every_round() -> None:
    drawn = [design_value((0, 0), slot, "kind", KIND, {}) for slot in range(12)]
    assert all(set(drawn[k : k + 3]) == {"a", "b", "c"} for k in range(0, 12, 3))
    assert len({tuple(drawn[k : k + 3]) for k in range(0, 12, 3)}) > 1


@pytest.mark.parametrize("n_choices", [2, 3, 5, 30])
def test_numbers_are_even_within_a_branch_and_over_all(n_choices: int) -> None:
    kind = CategoricalDistribution(range(n_choices))
    rounds = []
    for number in range(8, 16):
        slots = range(number * n_choices, (number + 1) * n_choices)
        choices = [design_value((0, 0), slot, "kind", kind, {}) for slot in slots]
        rounds.append(
            {
                choice: design_value((0, 0), slot, "x", X, {"kind": (kind, choice)})
                for slot, choice in zip(slots, choices, strict=True)
            }
        )
    for choice in kind.choices:
        assert largest_gap([values[choice] for values in rounds]) < 2 / 8
    for values in rounds:
        assert largest_gap(list(values.values())) < 3 / n_choices


def largest_gap(values: list[float]) -> float:
    """On a circle of length 1."""
    ordered = sorted(values)
    return max(b - a for a, b in zip(ordered, [*ordered[1:], ordered[0] + 1.0], strict=True))


def test_the_first_slot_is_the_middle_and_the_next_ones_keep_off_the_ends() -> None:
    assert design_value((0, 0), 0, "rate", RATE, {}) == pytest.approx(1e-3)
    assert all(0.1 <= design_value((3, 0), slot, "x", X, {}) <= 0.9 for slot in range(8))
    later = [design_value((3, 0), slot, "x", X, {}) for slot in range(8, 64)]
    assert min(later) < 0.05 and max(later) > 0.95


def test_seed_study_and_name_decide() -> None:
    def row(key: tuple[int, int], name: str) -> list[float]:
        return [design_value(key, slot, name, X, {}) for slot in range(1, 5)]

    rows = [row((0, 0), "x"), row((1, 0), "x"), row((0, 1), "x"), row((0, 0), "y")]
    assert rows[0] == row((0, 0), "x")
    assert len({tuple(r) for r in rows}) == 4


@pytest.mark.parametrize("make", SAMPLERS)
def test_the_start_is_the_same_for_any_number_of_workers(make: Make) -> None:
    alone = optuna.create_study(study_name="s", sampler=make())
    alone.optimize(conditional, n_trials=4)
    together = optuna.create_study(study_name="s", sampler=make())
    trials = [together.ask() for _ in range(4)]
    for trial in reversed(trials):
        together.sampler = make()
        conditional(trial)
    assert [t.params for t in together.trials] == [t.params for t in alone.trials]
    assert Counter(t.params["kind"] for t in alone.trials[:3]) == Counter("abc")


FIRST: list[Mapping[str, Any]] = [{"kind": "b", "rate": 0.1, "x_b": 1}, {"rate": 1e-6}]


@pytest.mark.parametrize("make", SAMPLERS)
def test_a_users_configurations_come_first(make: Make) -> None:
    study = optuna.create_study(study_name="s", sampler=make(first=FIRST))
    plain = optuna.create_study(study_name="s", sampler=make())
    for each in (study, plain):
        each.optimize(conditional, n_trials=4)
    assert study.trials[0].params == {"kind": "b", "rate": 0.1, "x_b": 1.0}
    assert study.trials[1].params["rate"] == 1e-6
    assert [t.params for t in study.trials[2:]] == [t.params for t in plain.trials[:2]]


@pytest.mark.parametrize("make", SAMPLERS)
def test_a_configuration_that_does_not_fit_is_refused_in_one_line(make: Make) -> None:
    study = optuna.create_study(sampler=make(first=[{"rate": 2.0}]))
    with pytest.raises(UsageError, match=r"^first\[0\]: 'rate' must be a number in \[1e-06, 1\]"):
        conditional(study.ask())


@pytest.mark.parametrize("make", SAMPLERS)
@pytest.mark.parametrize("first", [{"lr": 1}, "lr", [3], [{}], [{1: 2}], None])
def test_what_is_no_list_of_configurations_is_refused(make: Make, first: Any) -> None:
    with pytest.raises(ValueError, match="^`first` must "):
        make(first=first)


def test_a_generation_holds_only_so_many_of_a_users_configurations() -> None:
    with pytest.raises(ValueError, match="`first` must hold at most `population_size`"):
        GASampler(population_size=2, first=[{"x": 1}] * 3)


def test_a_configuration_that_failed_is_not_tried_again() -> None:
    study = optuna.create_study(
        study_name="s", sampler=GASampler(population_size=4, first=[{"rate": 0.1}], seed=0)
    )
    trial = study.ask()
    assert trial.suggest_float("rate", 1e-6, 1.0, log=True) == 0.1
    study.tell(trial, state=TrialState.FAIL)
    rates = [study.ask().suggest_float("rate", 1e-6, 1.0, log=True) for _ in range(4)]
    assert 0.1 not in rates


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"lr": 0.1}, "the space has no parameter 'lr'; there are flag, n, rate"),
        ({"rate": True}, "'rate' must be a number in"),
        ({"rate": "0.1"}, "'rate' must be a number in"),
        ({"rate": float("nan")}, "'rate' must be a number in"),
        ({"n": 3}, r"'n' must be a number in \[0, 10\] in steps of 2, but it is 3"),
        ({"flag": 1}, "1 is no choice of 'flag'; there are True, None"),
    ],
)
def test_a_list_is_checked_against_a_known_space(
    configuration: dict[str, Any], message: str
) -> None:
    space: dict[str, BaseDistribution] = {
        "rate": RATE,
        "n": IntDistribution(0, 10, step=2),
        "flag": CategoricalDistribution([True, None]),
    }
    check_first([{"rate": 0.1, "n": 2.0, "flag": None}], space)
    with pytest.raises(UsageError, match=message):
        check_first([{"n": 4}, configuration], space)

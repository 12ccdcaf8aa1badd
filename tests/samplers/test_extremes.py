"""Huge ranges, many choices, huge values: nothing overflows, and no cost grows with them."""

from collections.abc import Callable
import math
import sys
import tracemalloc

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import mutate_number
from optuna_evo.samplers._ga._genes import to_unit
from optuna_evo.samplers._ga._lists import find_lists
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import warp


MAX = sys.float_info.max


def with_a_source(study: optuna.Study) -> BaseSampler:
    return MetaPriorSampler([study], seed=0)


SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "GA": lambda: GASampler(population_size=4, n_startup_trials=8, reevaluate_elites=True, seed=0),
    "GA-annealed": lambda: GASampler(
        population_size=5, reevaluate_elites=True, operators="annealed", seed=0
    ),
    "Thompson": lambda: ThompsonSampler(n_startup_trials=5, seed=0),
    "Hybrid": lambda: HybridSampler(population_size=3, n_generations=2, seed=0),
    "Recurrence": lambda: RecurrenceSampler(population_size=4, anneal={"x": 0.9}, seed=0),
    "Recurrence-published": lambda: RecurrenceSampler.published(
        population_size=4, anneal=(), seed=0
    ),
    "MetaPrior": lambda: MetaPriorSampler(seed=0),
}
samplers = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)

RANGES: dict[str, BaseDistribution] = {
    "int of 32 bits": IntDistribution(0, 2**32 - 1),
    "int of 63 bits": IntDistribution(0, 2**63 - 1),
    "int around 0": IntDistribution(-(2**62), 2**62),
    "int with steps": IntDistribution(0, 3 * 2**50, step=3),
    "int in logs": IntDistribution(1, 2**62, log=True),
    "widest": FloatDistribution(-MAX, MAX),
    "wide": FloatDistribution(-1e308, 1e308),
    "far": FloatDistribution(1e307, MAX),
    "logs of 400 decades": FloatDistribution(1e-200, 1e200, log=True),
    "widest in logs": FloatDistribution(5e-324, MAX, log=True),
    "subnormal": FloatDistribution(0.0, 1e-310),
    "fine grid": FloatDistribution(0.0, 1e9, step=1e-9),
    "grid of the widest": FloatDistribution(0.0, 1.7e308, step=1e306),
}
ranges = pytest.mark.parametrize("x", RANGES.values(), ids=RANGES)


def run(study: optuna.Study, x: BaseDistribution, n: int = 12) -> list[float]:
    """Minimise where a parameter lies in its range; return the values of the parameter."""
    axis = SpaceEncoding({"x": x})
    for _ in range(n):
        trial = study.ask({"x": x})
        study.tell(trial, float(axis.units([trial.params])[0, 0]))
    return [trial.params["x"] for trial in study.trials]


@samplers
@ranges
def test_a_range_of_any_size_is_searched(
    make: Callable[[], BaseSampler], x: FloatDistribution
) -> None:
    values = run(optuna.create_study(sampler=make()), x)
    assert all(x.low <= value <= x.high for value in values)
    assert len(set(values)) > 5  # not only its ends


@ranges
def test_sources_of_any_range_are_learned_from(x: FloatDistribution) -> None:
    old = optuna.create_study(sampler=GASampler(population_size=6, seed=0))
    best = min(run(old, x), key=lambda value: abs(value - x.low))
    study = optuna.create_study(sampler=with_a_source(old))
    assert best in run(study, x, 3)


@ranges
def test_units_of_any_range_are_spread_and_come_back(x: FloatDistribution) -> None:
    drawn = [draw(u, x) for u in np.linspace(0.0, 0.999, 50)]
    units = np.array([to_unit(value, x) for value in drawn])
    encoded = SpaceEncoding({"x": x}).units([{"x": value} for value in drawn])[:, 0]
    assert all(x.low <= value <= x.high for value in drawn)
    assert (np.diff(units) >= 0.0).all() and units[-1] - units[0] > 0.9
    assert encoded == pytest.approx(units, abs=0.03)
    assert [fit(value, x) for value in drawn] == drawn


@ranges
def test_a_mutation_moves_a_value_inside_any_range(x: FloatDistribution) -> None:
    rng = np.random.default_rng(0)
    for value in (x.low, draw(0.5, x), x.high):
        for scale in (1e-30, 0.3, 10.0):
            mutant = mutate_number(value, x, scale, rng)
            assert math.isfinite(mutant) and x.low <= mutant <= x.high


@samplers
@pytest.mark.parametrize("sign", [1, -1], ids=["high", "low"])
def test_the_largest_float_ranks_as_infinity_does(
    make: Callable[[], BaseSampler], sign: int
) -> None:
    def values_with(extreme: float) -> list[dict[str, float]]:
        study = optuna.create_study(
            sampler=make(), direction="minimize" if sign > 0 else "maximize"
        )
        for number in range(26):
            trial = study.ask()
            x = trial.suggest_float("x", 0.0, 1.0)
            study.tell(trial, sign * (extreme if x > 0.6 or number % 7 == 3 else x))
        return [trial.params for trial in study.trials]

    assert values_with(MAX) == values_with(math.inf)


@samplers
def test_values_of_every_size_do_not_end_a_study(make: Callable[[], BaseSampler]) -> None:
    extremes = [MAX, -MAX, 1e299, -1e299, math.inf, -math.inf, 1e-310, 0.0, 1.0]
    study = optuna.create_study(sampler=make())
    for number in range(30):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, extremes[number % len(extremes)])
    assert all(math.isfinite(trial.params["x"]) for trial in study.trials)


def test_losses_of_all_orders_of_magnitude_are_warped_in_their_order() -> None:
    losses = np.array([-1e299, -1.0, 0.0, 1e-300, 1.0, 1e150, 1e299, MAX, math.inf])
    with np.errstate(all="raise", under="ignore"):
        warped = warp(bound(losses))
    assert np.isfinite(warped).all() and (np.diff(warped) >= 0.0).all()
    tiny = warp(np.array([0.0, 1e-310, 2e-310, 1e299]))
    assert np.isfinite(tiny).all() and (np.diff(tiny) > 0.0).all()


def test_looking_for_lists_costs_nothing_that_grows_with_an_integer() -> None:
    samples = []
    for k in range(1, 9):
        params = {"seed": 2**63 - k, "n": k % 3, **{f"x_{i}": 0.5 for i in range(k % 3)}}
        distributions: dict[str, BaseDistribution] = dict.fromkeys(params, FloatDistribution(0, 1))
        distributions |= {"seed": IntDistribution(0, 2**63 - 1), "n": IntDistribution(0, 2**40)}
        samples.append((params, distributions))
    tracemalloc.start()
    (found,) = find_lists(samples)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.length, found.templates) == ("n", ("x_{i}",))
    assert peak < 1_000_000


@samplers
def test_lists_that_could_be_endless_are_searched(make: Callable[[], BaseSampler]) -> None:
    def objective(trial: optuna.Trial) -> float:
        n = min(trial.suggest_int("n", 1, 2**40), 3)
        return sum(trial.suggest_float(f"x_{i}", 0, 1) for i in range(n))

    study = optuna.create_study(sampler=make())
    study.enqueue_trial({"n": 2})
    study.enqueue_trial({"n": 1})
    study.optimize(objective, n_trials=20)
    assert len(study.trials) == 20


def test_features_of_many_choices_do_not_grow_with_their_number() -> None:
    widths = [
        SpaceEncoding({"c": CategoricalDistribution(range(n))}).features(np.zeros((2, 1))).shape[1]
        for n in (64, 65, 3_000, 100_000)
    ]
    assert widths == [64] * 4


def test_any_two_of_many_choices_are_about_as_far_apart() -> None:
    encoding = SpaceEncoding({"c": CategoricalDistribution(range(3_000))}, optional=["c"])
    units = np.append(np.arange(200.0), [2_999.0, math.nan])[:, None]
    features = encoding.features(units)
    assert len(encoding.groups) == features.shape[1]
    assert (features[-1] == 0.0).all()
    squared = ((features[:-1, None] - features[None, :-1]) ** 2).sum(axis=2)
    apart = squared[np.triu_indices(len(squared), 1)]
    assert apart.mean() == pytest.approx(1.0, abs=0.01) and apart.std() < 0.15
    assert apart.min() > 0.3


@samplers
def test_the_best_of_many_choices_is_found_again(make: Callable[[], BaseSampler]) -> None:
    choices = [f"choice {k}" for k in range(3_000)]
    study = optuna.create_study(sampler=make())
    study.enqueue_trial({"c": "choice 77", "x": 0.5})
    for _ in range(30):
        trial = study.ask()
        c = trial.suggest_categorical("c", choices)
        x = trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, x + 5.0 * (c != "choice 77"))
    assert sum(trial.params["c"] == "choice 77" for trial in study.trials) > 1


@pytest.mark.parametrize("value", [math.nan, None, True])
def test_choices_that_cannot_be_looked_up_are_found_as_optuna_does(value: object) -> None:
    distribution = CategoricalDistribution([0.5, value, "other"])
    units = SpaceEncoding({"c": distribution}).units([{"c": value}, {"c": "missing"}, {}])
    assert units[0, 0] == distribution.to_internal_repr(value) == 1.0
    assert np.isnan(units[1:, 0]).all()


def test_values_of_a_source_that_are_no_numbers_count_as_missing() -> None:
    old = optuna.create_study(sampler=GASampler(population_size=4, seed=0))
    gammas = ["scale", "auto", 0.1]
    for _ in range(12):
        trial = old.ask()
        gamma = trial.suggest_categorical("gamma", gammas)
        old.tell(trial, trial.suggest_float("c", 0, 1) + (gamma == "auto"))
    study = optuna.create_study(sampler=with_a_source(old))
    for _ in range(8):
        trial = study.ask()
        gamma = trial.suggest_float("gamma", 1e-4, 1.0, log=True)
        study.tell(trial, trial.suggest_float("c", 0, 1) + gamma)
    assert study.trials[0].params["c"] in [trial.params["c"] for trial in old.trials]

"""The recurrence itself: what is kept, mixed, annealed and learned from."""

from collections import Counter
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import segment_of
from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._step import published_annealing
from optuna_evo.samplers._recurrence._step import published_factors
from optuna_evo.samplers._recurrence._step import published_step
from optuna_evo.samplers._recurrence._step import recurrent_step
from optuna_evo.samplers._recurrence._step import retained
from optuna_evo.samplers._recurrence._step import StepSettings


LR = FloatDistribution(1e-4, 1.0, log=True)
QUIET = {"noise": 0.0, "momentum": 0.0}


def settings(**changes: Any) -> StepSettings:
    defaults = {
        "retention": 0.5,
        "mutation_prob": 1.0,
        "noise": 0.1,
        "momentum": 0.5,
        "anneal": {},
        "cooling": 0.9,
    }
    return StepSettings(**{**defaults, **changes})


def steps(
    given: StepSettings, distribution: BaseDistribution, value: Any, n: int = 200, **changes: Any
) -> list[Any]:
    """Return next values of one parameter, each with other random numbers."""
    options = {"previous": {}, "feedback": Feedback(), "rho": 0.5, "noise_scale": 1.0} | changes
    return [
        recurrent_step(
            given, "p", distribution, value=value, rng=np.random.default_rng(k), **options
        )
        for k in range(n)
    ]


def test_rho_one_keeps_and_rho_zero_takes_all_of_the_new_value() -> None:
    assert steps(settings(), LR, 0.01, 5, rho=1.0) == pytest.approx([0.01] * 5)
    half, none = (np.log(steps(settings(), LR, 0.01, 2000, rho=rho)) for rho in (0.5, 0.0))
    assert none.std() / half.std() == pytest.approx(2.0, rel=1e-6)


def test_noise_is_in_log_space_and_scaled() -> None:
    logs = np.log(steps(settings(noise=0.02), LR, 0.01, 2000, rho=0.0, noise_scale=0.5))
    assert logs.mean() == pytest.approx(np.log(0.01), abs=0.01)
    assert logs.std() == pytest.approx(0.5 * 0.02 * np.log(1e4), rel=0.06)


def test_a_parameter_gets_noise_with_the_mutation_probability() -> None:
    values = steps(settings(mutation_prob=0.2), LR, 0.01, 1000)
    kept = sum(value == pytest.approx(0.01, rel=1e-9) for value in values)
    assert kept == pytest.approx(800, abs=50)


def test_a_change_that_paid_goes_on_and_one_that_did_not_goes_back() -> None:
    for gain, factor in ((1.0, 10**0.25), (-1.0, 10**-0.25)):
        (value,) = steps(
            settings(noise=0.0), LR, 0.1, 1, previous={"p": 0.01}, feedback=Feedback(gain=gain)
        )
        assert value == pytest.approx(0.1 * factor)


def test_a_gradient_that_has_grown_lowers_annealed_parameters_only() -> None:
    feedback = Feedback(grad_change=np.log(1.5))
    options = {"feedback": feedback, "rho": 0.0}
    assert steps(settings(**QUIET, anneal={"p": 1.0}), LR, 0.03, 1, **options) == [
        pytest.approx(0.02)
    ]
    assert steps(settings(**QUIET), LR, 0.03, 1, **options) == [pytest.approx(0.03)]


def test_annealing_multiplies_and_stays_in_the_range() -> None:
    cold = settings(**QUIET, anneal={"p": 0.5})
    assert steps(cold, LR, 0.01, 1) == [pytest.approx(0.005)]
    assert steps(cold, LR, 1.5e-4, 1) == [1e-4]


def test_a_category_is_kept_with_probability_rho() -> None:
    colours = CategoricalDistribution(["a", "b", "c", "d"])
    counts = Counter(steps(settings(), colours, "b", 2000, rho=0.6))
    assert counts["b"] == pytest.approx(2000 * (0.6 + 0.4 / 4), abs=80)
    assert set(counts) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    "distribution", [IntDistribution(2, 20, step=3), IntDistribution(1, 1000, log=True)]
)
def test_integers_stay_on_their_grid_and_move(distribution: IntDistribution) -> None:
    values = steps(settings(noise=0.3), distribution, 8, rho=0.2)
    assert all(distribution._contains(value) for value in values)
    assert len(set(values)) > 3


def test_the_better_the_rank_the_more_is_kept() -> None:
    rhos = [retained(settings(retention=0.3), Feedback(rank=rank)) for rank in (0.0, 0.5, 1.0)]
    assert rhos == pytest.approx([1.0, 0.3, 0.09])


def published_changes(n: int, **options: Any) -> list[dict[str, float]]:
    """Return for each segment of one member by what its parameters were multiplied."""
    sampler = RecurrenceSampler.published(population_size=2, seed=0, **options)
    study = optuna.create_study(study_name="published", sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        names = ("lr", "momentum", "weight_decay")
        return sum(trial.suggest_float(name, 1e-9, 1e9, log=True) for name in names)

    study.optimize(objective, n_trials=2 * n)
    rows = [trial.params for trial in study.get_trials()[::2]]
    return [{k: b[k] / a[k] for k in a} for a, b in zip(rows, rows[1:], strict=False)]


def test_the_published_rule_throws_its_coins_once_for_a_configuration() -> None:
    changes = published_changes(300)
    kept = [all(abs(f - 1) < 1e-12 for f in row.values()) for row in changes]
    none = [all(abs(f - 1) > 1e-12 for f in row.values()) for row in changes]
    assert all(a or b for a, b in zip(kept, none, strict=True))
    assert np.mean(kept) == pytest.approx(0.8 * 0.5, abs=0.08)
    assert max(max(row.values()) for row in changes) < 1.1
    mutated = [any(abs(f - 1) > 0.0501 for f in row.values()) for row in changes]
    # three factors of which at least one is beyond what drifting gives: 1 - 0.5 ** 3
    assert np.mean(mutated) == pytest.approx(0.2 * 0.875, abs=0.06)


def test_the_rates_of_the_published_rule_are_arguments() -> None:
    always = published_changes(200, recurrence_factor=1.0, mutation_rate=0.0)
    assert all(row == pytest.approx(dict.fromkeys(row, 1.0)) for row in always)
    coins = (
        published_factors(settings(mutation_prob=1.0), np.random.default_rng(k)) for k in (0, 1)
    )
    assert set(coins) == {(0.9, 1.1)}


def test_the_published_annealing_falls_after_every_tenth_round() -> None:
    rows = published_changes(25, anneal=("lr",), recurrence_factor=1.0, mutation_rate=0.0)
    falls = {k + 1: row["lr"] for k, row in enumerate(rows) if row["lr"] < 0.99}
    assert falls == pytest.approx({1: np.exp(-1.0), 11: np.exp(-0.5), 21: np.exp(-1 / 3)})
    assert [published_annealing(k) for k in (0, 2, 10)] == [1.0, 1.0, 1.0]


def test_categories_are_drawn_anew_where_the_configuration_mutates() -> None:
    colours = CategoricalDistribution(["a", "b", "c", "d"])
    for factors, n_colours in (((0.9, 1.1), 4), ((0.95, 1.05), 1), (None, 1)):
        rngs = map(np.random.default_rng, range(50))
        drawn = {
            published_step(settings(), "p", colours, value="a", factors=factors, rng=rng)
            for rng in rngs
        }
        assert len(drawn) == n_colours


def test_the_published_preset_cools_if_asked_and_never_exploits() -> None:
    sampler = RecurrenceSampler.published(population_size=4, anneal=["lr"], cooling=0.5, seed=0)
    study = optuna.create_study(study_name="published", sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("lr", 1e-6, 1.0, log=True), n_trials=16)
    trials = study.get_trials()
    for trial in trials[4:]:
        segment = segment_of(trial)
        assert not segment.exploited
        ratio = trial.params["lr"] / trials[segment.parent].params["lr"]
        assert 0.45 <= ratio <= 0.55 or trial.params["lr"] == 1e-6


def test_first_segments_cover_every_range_evenly() -> None:
    study = optuna.create_study(
        study_name="even", sampler=RecurrenceSampler(population_size=8, seed=0)
    )
    for _ in range(8):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 8.0)
        trial.suggest_float("y", 0.0, 8.0)
    rows = [(t.params["x"], t.params["y"]) for t in study.get_trials()]
    assert sorted(int(x) for x, _ in rows) == sorted(int(y) for _, y in rows) == list(range(8))
    assert [int(x) for x, _ in rows] != [int(y) for _, y in rows]


def training(study: optuna.Study, n_trials: int) -> list[float]:
    """Train by segments: the loss halves at the best rate, and the parent's loss is inherited."""
    losses: dict[int, float] = {}
    for _ in range(n_trials):
        trial = study.ask()
        off = np.log10(trial.suggest_float("lr", 1e-5, 1.0, log=True)) + 2.0
        parent = segment_of(study.get_trials()[trial.number]).parent
        before = 1.0 if parent is None else losses[parent]
        losses[trial.number] = before * (1.0 - 0.5 * np.exp(-(off**2)))
        study.tell(trial, losses[trial.number])
    return list(losses.values())


@pytest.mark.parametrize("seed", range(3))
def test_steps_go_to_the_best_lineage(seed: int) -> None:
    study = optuna.create_study(study_name="toy", sampler=RecurrenceSampler(seed=seed))
    training(study, 64)
    assert max(segment_of(trial).index for trial in study.get_trials()) >= 35
    own_ways = RecurrenceSampler(exploit_quantile=0.0, seed=seed)
    alone = optuna.create_study(study_name="toy", sampler=own_ways)
    assert np.log(study.best_value) < 3.0 * np.log(min(training(alone, 64)))


def test_an_unlucky_segment_does_not_throw_training_away() -> None:
    def run(tolerance: float) -> int:
        options: dict[str, Any] = {"rivalry": "linear", "tolerance": tolerance, "seed": 0}
        sampler = RecurrenceSampler(population_size=4, **options)
        study = optuna.create_study(study_name="noisy", sampler=sampler)
        rng, depth = np.random.default_rng(0), 0
        for _ in range(80):
            trial = study.ask()
            trial.suggest_float("x", 0.0, 1.0)
            depth = segment_of(study.get_trials()[trial.number]).index
            study.tell(trial, 5.0 - 0.01 * depth + 0.02 * rng.standard_normal())
        return depth

    assert run(tolerance=3.0) > 2 * run(tolerance=0.0)


def test_without_weights_it_beats_random_search() -> None:
    def objective(trial: optuna.Trial) -> float:
        xs = [trial.suggest_float(f"x{i}", -5.0, 5.0) for i in range(4)]
        return sum((x - 1.0) ** 2 for x in xs) + (trial.suggest_categorical("c", "abc") != "b")

    def median(make: Any) -> float:
        studies = [optuna.create_study(study_name="q", sampler=make(seed=k)) for k in range(5)]
        for study in studies:
            study.optimize(objective, n_trials=80)
        return float(np.median([study.best_value for study in studies]))

    assert median(RecurrenceSampler.plain) < 0.4 * median(optuna.samplers.RandomSampler)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "no other to learn from"),
        ({"retention": 1.5}, r"`retention` must be in \[0, 1\], got 1.5"),
        ({"exploit_quantile": 0.6}, "`exploit_quantile`"),
        ({"cooling": 0.0}, "`cooling`"),
        ({"temperature": -1.0}, "`temperature`"),
        ({"noise": float("nan")}, "`noise`"),
        ({"tolerance": -1.0}, "`tolerance`"),
        ({"n_rival_segments": -1}, "`n_rival_segments`"),
        ({"anneal": "lr"}, "sequence of names"),
        ({"anneal": {"lr": 1.2}}, "factors in `anneal`"),
        ({"rule": "other"}, "`rule`"),
        ({"annealing": "other"}, "`annealing` must be"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_a_bad_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrenceSampler(**options)


def test_an_annealed_category_is_refused() -> None:
    study = optuna.create_study(sampler=RecurrenceSampler(anneal=["kind"]))
    with pytest.raises(ValueError, match="`kind` cannot be annealed"):
        study.optimize(lambda t: float(t.suggest_categorical("kind", ["a", "b"]) == "a"), 9)


def test_gradient_norms_in_the_user_attributes_are_read() -> None:
    def last_lr(norms: list[float]) -> float:
        sampler = RecurrenceSampler(
            population_size=2, anneal=["lr"], noise=0.0, exploit_quantile=0.0, seed=0
        )
        study = optuna.create_study(study_name="norms", sampler=sampler)
        for value, norm in zip((1.0, 2.0, 0.9, 1.9, 0.8), norms, strict=True):
            trial = study.ask()
            trial.suggest_float("lr", 1e-5, 1.0, log=True)
            trial.set_user_attr("grad_norm", norm)
            study.tell(trial, value)
        return study.ask().suggest_float("lr", 1e-5, 1.0, log=True)

    steady, growing = last_lr([1.0] * 5), last_lr([1.0, 1.0, 1.0, 1.5, 1.0])
    assert growing < 0.9 * steady

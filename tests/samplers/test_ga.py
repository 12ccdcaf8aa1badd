"""What GASampler promises as an Optuna sampler."""

import copy
import pickle
import statistics

import optuna
import pytest

from optuna_evo.attributes import REPETITION
from optuna_evo.samplers import GASampler


def mixed(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    k = trial.suggest_int("k", 0, 20, step=5)
    penalty = 0.0 if trial.suggest_categorical("kind", ["good", "bad", "worse"]) == "good" else 3.0
    return (x - 2) ** 2 + (lr * 100 - 1) ** 2 + 0.01 * (k - 10) ** 2 + penalty


def optimized(n_trials: int = 100, direction: str = "minimize", **options: object) -> optuna.Study:
    arguments = {"population_size": 20, "n_generations": 5, "seed": 0} | options
    study = optuna.create_study(
        study_name="ga", direction=direction, sampler=GASampler(**arguments)
    )
    sign = -1 if direction == "maximize" else 1
    study.optimize(lambda trial: sign * mixed(trial), n_trials=n_trials)
    return study


def test_it_finds_the_optimum_region_in_100_trials() -> None:
    best = [optimized(seed=seed).best_value for seed in range(5)]
    assert statistics.median(best) < 0.5


def test_maximising_is_minimising_the_negative() -> None:
    down, up = optimized(), optimized(direction="maximize")
    assert [t.params for t in down.trials] == [t.params for t in up.trials]


def test_children_resemble_their_parents_more_than_random_trials_do() -> None:
    study = optimized()
    first, last = study.trials[:20], study.trials[-20:]
    assert sum(t.value for t in last) < 0.5 * sum(t.value for t in first)


def test_without_a_seed_two_runs_differ() -> None:
    assert optimized(3, seed=None).trials[1].params != optimized(3, seed=None).trials[1].params


def test_different_seeds_give_different_trials() -> None:
    assert optimized(3, seed=1).trials[1].params != optimized(3, seed=2).trials[1].params


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copied_or_pickled_sampler_goes_on_the_same(clone: object) -> None:
    study = optimized(30)
    study.sampler = clone(study.sampler)
    study.optimize(mixed, n_trials=30)
    assert [t.params for t in study.trials] == [t.params for t in optimized(60).trials]


def test_the_order_of_numbers_does_not_matter_in_generation_0() -> None:
    def backwards(trial: optuna.Trial) -> float:
        trial.suggest_int("k", 0, 20, step=5)
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        x = trial.suggest_float("x", -5, 5)
        trial.suggest_categorical("kind", ["good", "bad", "worse"])
        return x

    study = optuna.create_study(study_name="ga", sampler=GASampler(population_size=20, seed=0))
    study.optimize(backwards, n_trials=20)
    assert [t.params for t in study.trials] == [t.params for t in optimized(20).trials]


def test_a_conditional_parameter_of_a_pruned_branch_does_not_hide_others() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "adam":
            return abs(trial.suggest_float("adam_lr", 1e-5, 1.0, log=True) - 1e-3)
        return 1.0 + trial.suggest_float("sgd_lr", 1e-5, 1.0, log=True)

    study = optuna.create_study(sampler=GASampler(population_size=10, n_generations=8, seed=0))
    study.optimize(objective, n_trials=80)
    assert study.best_value < 1e-3


def test_a_shrunken_range_is_respected_and_keeps_what_fits() -> None:
    sampler = GASampler(population_size=5, seed=0)
    study = optuna.create_study(study_name="shrunken", sampler=sampler)
    study.optimize(lambda t: (t.suggest_float("x", 0, 10) - 9) ** 2, n_trials=20)
    study.optimize(lambda t: (t.suggest_float("x", 0, 5) - 9) ** 2, n_trials=5)
    values = [trial.params["x"] for trial in study.trials[-5:]]
    assert max(values) <= 5.0 and min(values) > 3.0  # drawn anew, most would be below 3


def test_a_noisy_objective_evaluates_its_elites_again() -> None:
    study = optimized(60, reevaluate_elites=True, n_elites=2, population_size=10)
    again = [trial for trial in study.trials if REPETITION.is_in(trial.user_attrs)]
    assert [trial.number % 10 for trial in again] == [0, 1] * 5
    for trial in again:
        earlier = [t for t in study.trials[: trial.number] if t.params == trial.params]
        assert REPETITION.read(trial.user_attrs) == len(earlier) >= 1


def test_the_objective_sees_how_often_its_parameters_were_evaluated() -> None:
    seen: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        seen.append(REPETITION.read(trial.user_attrs, 0))
        return trial.suggest_float("x", 0, 1)

    sampler = GASampler(population_size=4, n_elites=1, reevaluate_elites=True, seed=0)
    optuna.create_study(sampler=sampler).optimize(objective, n_trials=12)
    assert seen[4] == 1 and sum(count > 0 for count in seen) == 2


def test_repeated_parameters_are_ranked_by_their_mean() -> None:
    study = optuna.create_study(
        sampler=GASampler(population_size=4, n_elites=1, tournament_size=9, seed=0)
    )
    for x, value in [(0.1, 0.0), (0.1, 10.0), (0.2, 4.0), (0.3, 6.0)]:
        study.enqueue_trial({"x": x, "value": value})
    study.optimize(lambda t: t.suggest_float("x", 0, 1) * 0 + values[t.number], n_trials=4)
    trial = study.ask()
    parents = study.get_trials()[trial.number].system_attrs["GASampler:ticket"]["parents"]
    assert [study.trials[number].params["x"] for number in parents] == [0.2, 0.1]


values = [0.0, 10.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size"),
        ({"n_generations": 0}, "n_generations"),
        ({"tournament_size": 0}, "tournament_size"),
        ({"n_elites": -1}, "n_elites"),
        ({"crossover_prob": 1.1}, "crossover_prob"),
        ({"mutation_prob": -0.1}, "mutation_prob"),
        ({"mutation_scale": 0.0}, "mutation_scale"),
        ({"structure_prob": 2}, "structure_prob"),
        ({"flag_prob": float("nan")}, "flag_prob"),
        ({"crossover": "two_point"}, "`crossover` must be"),
        ({"population_size": 3, "n_elites": 3, "reevaluate_elites": True}, "n_elites"),
        ({"seed": -1}, "seed"),
        ({"lists": "all"}, "lists"),
        ({"lists": {"n": "w_{i}"}}, "tuple of templates"),
        ({"lists": {"n": ("w_0",)}}, "{i}"),
    ],
)
def test_a_wrong_argument_is_named_in_the_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GASampler(**options)

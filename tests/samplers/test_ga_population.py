"""Who is in the population: slots, resumption, workers, pruned, enqueued and added trials."""

from collections import Counter
from collections.abc import Callable
import copy
from pathlib import Path
import subprocess
import sys

import optuna
from optuna.storages import InMemoryStorage
from optuna.storages import RDBStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers._ga._population import Population


SIZE = 6
Objective = Callable[[optuna.Trial], float]


def conditional(trial: optuna.Trial) -> float:
    n = trial.suggest_int("n_terms", 1, 3)
    total = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    for i in range(n):
        sign = 1 if trial.suggest_categorical(f"term_{i}", ["a", "b"]) == "a" else -1
        total += sign * trial.suggest_float(f"alpha_{i}", -5, 5)
    return total


def make_study(
    storage: str | None = None, direction: str = "minimize", **options: object
) -> optuna.Study:
    arguments = {"population_size": SIZE, "n_generations": 5, "seed": 7} | options
    return optuna.create_study(
        study_name="population",
        storage=storage,
        direction=direction,
        sampler=GASampler(**arguments),
        load_if_exists=True,
    )


def slots(study: optuna.Study) -> list[tuple[int, int]]:
    assigned = [trial.system_attrs.get("GASampler:ticket") for trial in study.get_trials()]
    return [(slot["generation"], slot["slot"]) for slot in assigned if slot]


def params(study: optuna.Study) -> list[dict[str, object]]:
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial.params for trial in study.get_trials(states=done)]


def url(path: Path, name: str) -> str:
    return f"sqlite:///{path / name}.db"


def run(study: optuna.Study, n_trials: int, objective: Objective = conditional) -> optuna.Study:
    study.optimize(objective, n_trials=n_trials)
    return study


def test_a_trial_takes_every_slot_of_a_generation_in_order() -> None:
    study = run(make_study(), 2 * SIZE + 2)
    assert slots(study) == [(k // SIZE, k % SIZE) for k in range(2 * SIZE + 2)]


def test_the_generation_is_where_optunas_ga_base_class_looks_for_it() -> None:
    study = run(make_study(), SIZE + 1)
    generations = [trial.system_attrs["GASampler:generation"] for trial in study.get_trials()]
    assert generations == [0] * SIZE + [1]


def test_a_run_stopped_after_any_trial_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    expected = params(run(make_study(population_size=3), 9))
    storage = url(tmp_path, "stopped")
    for _ in range(9):
        run(make_study(storage, population_size=3), 1)
    assert params(make_study(storage)) == expected


@pytest.mark.parametrize("n_suggested", [0, 1, 99])
def test_a_retried_trial_of_a_killed_worker_shifts_no_later_trial(n_suggested: int) -> None:
    expected = params(run(make_study(), 3 * SIZE))
    study = run(make_study(), SIZE + 2)
    killed = study.ask()
    if n_suggested == 1:
        killed.suggest_int("n_terms", 1, 3)
    elif n_suggested:
        conditional(killed)
    reclaim(study, killed.number)
    run(study, 3 * SIZE - SIZE - 2)
    assert in_order_of_slots(study) == expected


def reclaim(study: optuna.Study, number: int) -> None:
    """Fail a trial and queue its copy, as a storage with heartbeat does."""
    study.tell(number, state=TrialState.FAIL)
    RetryHeartbeatStaleTrialCallback()(study, study.get_trials()[number])


def in_order_of_slots(study: optuna.Study) -> list[dict[str, object]]:
    trials = study.get_trials(states=(TrialState.COMPLETE,))

    def slot_of(trial: FrozenTrial) -> tuple[int, int]:
        slot = trial.system_attrs["GASampler:ticket"]
        return slot["generation"], slot["slot"]

    return [trial.params for trial in sorted(trials, key=slot_of)]


def test_a_failed_trial_gives_its_slot_to_a_different_child() -> None:
    study = run(make_study(), SIZE)
    failed = study.ask()
    conditional(failed)
    study.tell(failed, state=TrialState.FAIL)
    run(study, SIZE)
    again = [t for t in study.get_trials(states=(TrialState.COMPLETE,)) if t.number > SIZE][-1]
    assert again.system_attrs["GASampler:ticket"]["slot"] == 0
    assert again.params != failed.params
    assert Counter(g for g, _ in slots(study))[1] == SIZE + 1


def test_half_of_the_trials_pruned_still_fill_a_generation() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = conditional(trial)
        trial.report(value, 0)
        if trial.number % 2:
            raise optuna.TrialPruned
        return value

    study = run(make_study(), 4 * SIZE, objective)
    assert Counter(g for g, _ in slots(study)) == dict.fromkeys(range(4), SIZE)
    assert all(len(study.sampler.get_population(study, g)) == SIZE for g in range(4))


def test_pruned_trials_are_parents_but_rank_behind_complete_ones() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number < SIZE - 1:
            trial.report(-100.0 + x, 0)
            raise optuna.TrialPruned
        return x

    study = run(make_study(tournament_size=SIZE, n_elites=1), 2 * SIZE, objective)
    parents = [trial.system_attrs["GASampler:ticket"]["parents"] for trial in study.trials[SIZE:]]
    best_pruned = min(study.trials[: SIZE - 1], key=lambda trial: trial.value)
    assert parents == [[SIZE - 1, best_pruned.number]] * SIZE


def test_a_pruned_trial_without_a_value_ranks_last() -> None:
    study = make_study(tournament_size=SIZE, n_elites=0)
    values = [3.0, None, 1.0, float("nan"), 2.0, None]
    for value in values:
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        if value is not None:
            trial.report(value, 0)
        study.tell(trial, state=TrialState.PRUNED)
    trial = study.ask()
    assert study.get_trials()[trial.number].system_attrs["GASampler:ticket"]["parents"] == [2, 4]


def test_infinite_values_take_a_slot_but_are_no_members() -> None:
    study = run(
        make_study(), SIZE, lambda t: t.suggest_float("x", 0, 1) / (t.number > 2 or 1e-320)
    )
    values = [trial.value for trial in study.sampler.get_population(study, 0)]
    assert len(values) < SIZE
    assert all(value < float("inf") for value in values)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_elites_are_never_lost(direction: str) -> None:
    study = make_study(n_elites=2, direction=direction)
    sign = -1 if direction == "maximize" else 1
    for generation in range(1, 6):
        # Later generations get worse and worse: only elites keep the first values in the pool.
        run(study, SIZE, lambda t, g=generation: sign * (10 * g + t.suggest_float("x", 0, 1)))
        pool = study.sampler.select_parent(study, generation)
        best = sorted(study.get_trials(), key=lambda trial: sign * trial.value)[:2]
        assert {trial.number for trial in best} <= {trial.number for trial in pool}


def test_enqueued_trials_take_slots_and_become_parents() -> None:
    study = make_study(tournament_size=SIZE + 3)
    study.enqueue_trial({"n_terms": 1, "lr": 1e-5, "term_0": "b", "alpha_0": 5.0})
    run(study, SIZE + 1)
    assert slots(study)[:2] == [(0, 0), (0, 1)]
    child = study.get_trials()[SIZE]
    assert 0 in child.system_attrs["GASampler:ticket"]["parents"]


def test_an_enqueued_trial_with_some_parameters_gets_the_others_from_its_slot() -> None:
    study = run(make_study(), SIZE)
    study.enqueue_trial({"lr": 0.05})
    run(study, 1)
    expected = params(run(make_study(), SIZE + 1))[-1] | {"lr": 0.05}
    assert params(study)[-1] == expected


def added(value: float, x: float) -> FrozenTrial:
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1)}
    return optuna.create_trial(params={"x": x}, distributions=distributions, value=value)


def x_value(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def test_added_trials_reduce_the_slots_of_generation_0() -> None:
    study = make_study()
    study.add_trials([added(0.1 * k, 0.1 * k) for k in range(4)])
    run(study, SIZE, x_value)
    assert slots(study) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)]
    assert len(study.sampler.get_population(study, 0)) == SIZE


def test_the_best_of_many_added_trials_are_generation_0() -> None:
    study = make_study()
    study.add_trials([added(0.01 * (k % 17), 0.05 * k) for k in range(20)])
    run(study, 1, x_value)
    assert slots(study) == [(1, 0)]
    values = sorted(trial.value for trial in study.sampler.get_population(study, 0))
    assert values == sorted(0.01 * (k % 17) for k in range(20))[:SIZE]


def test_a_trial_added_later_joins_the_running_generation() -> None:
    study = run(make_study(), SIZE + 1, x_value)
    study.add_trial(added(-1.0, 0.5))
    run(study, SIZE - 1, x_value)
    members = [trial.number for trial in study.sampler.get_population(study, 1)]
    assert len(members) == SIZE + 1
    assert SIZE + 1 in members


def test_trials_added_from_another_ga_study_are_seed_trials_too() -> None:
    old = optuna.create_study(study_name="old", sampler=GASampler(population_size=SIZE, seed=0))
    run(old, 5 * SIZE, x_value)
    study = make_study()
    study.add_trials(old.get_trials()[-3:])
    run(study, 4, x_value)
    assert slots(study)[3:] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_a_copied_study_goes_on_like_the_original() -> None:
    storage = InMemoryStorage()
    study = make_study(storage)
    run(study, SIZE + 2)
    optuna.copy_study(
        from_study_name="population",
        from_storage=storage,
        to_storage=storage,
        to_study_name="copy",
    )
    copied = optuna.load_study(study_name="copy", storage=storage, sampler=make_study().sampler)
    assert params(run(copied, SIZE)) == params(run(study, SIZE))


def test_one_sampler_serves_two_studies_without_mixing_them() -> None:
    sampler = GASampler(population_size=SIZE, seed=7)
    first = optuna.create_study(study_name="population", sampler=sampler)
    second = optuna.create_study(study_name="other", sampler=sampler)
    for _ in range(2 * SIZE):
        run(first, 1)
        run(second, 1, x_value)
    assert params(first) == params(run(make_study(n_generations=50), 2 * SIZE))
    assert all(set(trial.params) == {"x"} for trial in second.get_trials())


def test_threads_that_share_a_sampler_take_every_slot_once() -> None:
    study = make_study()
    study.optimize(conditional, n_trials=4 * SIZE, n_jobs=4)
    assert sorted(slots(study)) == [(k // SIZE, k % SIZE) for k in range(4 * SIZE)]


def test_processes_on_one_database_take_every_slot_once(tmp_path: Path) -> None:
    storage = url(tmp_path, "workers")
    RDBStorage(storage)
    make_study(storage)
    code = (
        "import optuna\n"
        "from tests.samplers.test_ga_population import make_study, x_value\n"
        "optuna.logging.set_verbosity(optuna.logging.ERROR)\n"
        f"make_study({storage!r}).optimize(x_value, n_trials={SIZE})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert sorted(slots(make_study(storage))) == [(k // SIZE, k % SIZE) for k in range(3 * SIZE)]


def test_a_batch_asked_at_once_opens_the_next_generations() -> None:
    study = make_study()
    for _ in range(2 * SIZE + 1):
        conditional(study.ask())
    assert slots(study)[-1] == (2, 0)


def test_trials_that_another_sampler_runs_take_no_slot() -> None:
    study = make_study()
    foreign = study._storage.create_new_trial(study._study_id)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    study._storage.set_trial_param(foreign, "x", 0.5, distribution)
    run(study, 3, x_value)
    assert slots(study) == [(0, 0), (0, 1), (0, 2)]


def test_a_slow_worker_takes_its_slot_after_others_opened_later_generations() -> None:
    study = make_study()
    slow = study._storage.create_new_trial(study._study_id)
    run(study, 3 * SIZE, x_value)
    study.sampler.before_trial(study, study._storage.get_trial(slow))
    assert sorted(slots(study)) == [(k // SIZE, k % SIZE) for k in range(3 * SIZE + 1)]


def test_an_assignment_that_a_torn_read_missed_is_found_by_a_second_look() -> None:
    study = run(make_study(), 2, x_value)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    whole = study._storage.get_trial(trial._trial_id)
    torn = copy.copy(whole)
    torn.system_attrs = {}
    way = study.sampler._ways
    population = Population(study="population", maximize=False, ways=way)
    population.update([*study.get_trials()[:2], torn], lambda _: whole)
    assert population.next_slot(3) == (0, 3, 0)


def test_another_population_size_applies_from_the_next_generation_on() -> None:
    study = run(make_study(), SIZE + 1)
    study.sampler = make_study(population_size=2 * SIZE).sampler
    run(study, 3 * SIZE - 1)
    assert Counter(g for g, _ in slots(study)) == {0: SIZE, 1: SIZE, 2: 2 * SIZE}


def adaptive(storage: str | None = None, **options: object) -> optuna.Study:
    arguments = {"population_size": 4, "n_startup_trials": 9, "n_offspring": 3, "seed": 7}
    arguments |= {"operators": "adaptive"}
    return optuna.create_study(
        study_name="population",
        storage=storage,
        sampler=GASampler(**(arguments | options)),
        load_if_exists=True,
    )


def test_an_adaptive_run_stopped_after_any_trial_goes_on_as_if_never_stopped(
    tmp_path: Path,
) -> None:
    expected = params(run(adaptive(), 19))
    storage = url(tmp_path, "stopped")
    for _ in range(19):
        run(adaptive(storage), 1)
    assert params(adaptive(storage)) == expected
    assert slots(adaptive(storage)) == [(0, k) for k in range(9)] + [
        (1 + k // 4, k % 4) for k in range(10)
    ]


def test_a_retried_trial_of_an_adaptive_study_is_the_same_child() -> None:
    expected = params(run(adaptive(), 19))
    study = run(adaptive(), 15)
    killed = study.ask()
    conditional(killed)
    reclaim(study, killed.number)
    run(study, 4)
    assert in_order_of_slots(study) == expected


def test_a_study_of_an_earlier_version_goes_on_with_annealed_operators() -> None:
    expected = params(run(make_study(n_generations=50), 3 * SIZE))
    study = optuna.create_study(study_name="population")
    for trial in run(make_study(n_generations=50), SIZE + 2).get_trials():
        ticket = trial.system_attrs["GASampler:ticket"]  # as earlier versions wrote it
        for key in ("operators", "step", "variant"):
            del ticket[key]
        study.add_trial(trial)
    study.sampler = GASampler(population_size=SIZE, seed=7)
    run(study, 2 * SIZE - 2)
    assert params(study) == expected


def test_a_study_keeps_its_operators_when_the_arguments_no_longer_say_them() -> None:
    study = run(adaptive(), 12)
    study.sampler = GASampler(population_size=4, seed=7)
    run(study, 2)
    named = [t.system_attrs["GASampler:ticket"]["operators"] for t in study.get_trials()]
    assert named == ["adaptive"] * 14


def test_parents_of_an_adaptive_study_are_the_best_of_each_structure_of_all_generations() -> None:
    study = run(adaptive(), 60)
    generation_of = study.sampler.get_trial_generation
    last = generation_of(study, study.get_trials()[-1])
    pool = study.sampler.select_parent(study, last)
    best: dict[frozenset[object], FrozenTrial] = {}
    before = [t for t in study.get_trials() if generation_of(study, t) < last]
    for trial in sorted(before, key=lambda t: t.value):
        kinds = frozenset(v for n, v in trial.params.items() if n.startswith("term"))
        best.setdefault(kinds, trial)
    assert len(pool) == 8 and len(best) == 3  # {a}, {b}, {a, b}
    assert {t.number for t in best.values()} < {t.number for t in pool}

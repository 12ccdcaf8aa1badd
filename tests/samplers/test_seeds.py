"""A seed repeats: equal trials in every run, in studies with and without a name."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal import JournalStorage
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import Source
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._streams import hash_name
from tests.samplers.meta.old_studies import bowl
from tests.samplers.meta.old_studies import old


@cache
def source() -> Source:
    return read_source(old(n_trials=10))


def on_a_base(seed: int) -> MetaPriorSampler:
    return MetaPriorSampler([source()], base=GASampler(population_size=3, seed=seed), seed=seed)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "GA": lambda seed: GASampler(population_size=4, reevaluate_elites=True, seed=seed),
    "Thompson": lambda seed: ThompsonSampler(n_startup_trials=4, seed=seed),
    "Hybrid": lambda seed: HybridSampler(population_size=4, n_generations=2, seed=seed),
    "Recurrence": lambda seed: RecurrenceSampler(population_size=3, seed=seed),
    "Recurrence-plain": lambda seed: RecurrenceSampler.plain(population_size=3, seed=seed),
    "Recurrence-published": lambda seed: RecurrenceSampler.published(population_size=3, seed=seed),
    "MetaPrior": lambda seed: MetaPriorSampler([source()], seed=seed),
    "MetaPrior-GA": on_a_base,
}
N_TRIALS = 14

seeded = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)


def params(sampler: BaseSampler, name: str | None = None) -> list[dict[str, Any]]:
    study = optuna.create_study(study_name=name, sampler=sampler)
    study.optimize(bowl(1e-3), n_trials=N_TRIALS)
    return [trial.params for trial in study.trials]


@seeded
def test_a_seed_repeats_in_studies_without_a_name(make: Callable[[int], BaseSampler]) -> None:
    assert params(make(0)) == params(make(0))


@seeded
def test_other_seeds_and_names_give_other_trials(make: Callable[[int], BaseSampler]) -> None:
    unnamed = params(make(0))
    assert params(make(1)) != unnamed
    assert params(make(0), "a name") != unnamed


@pytest.mark.parametrize("kind", ["memory", "sqlite", "journal"])
def test_the_names_that_optuna_makes_up_count_as_empty(kind: str, tmp_path: Path) -> None:
    storages: dict[str, Callable[[], BaseStorage | None]] = {
        "memory": lambda: None,
        "sqlite": lambda: RDBStorage(f"sqlite:///{tmp_path}/unnamed.db"),
        "journal": lambda: JournalStorage(JournalFileBackend(str(tmp_path / "unnamed.log"))),
    }
    study = optuna.create_study(storage=storages[kind]())
    assert hash_name(study.study_name) == hash_name("") != hash_name("a name")


@pytest.mark.parametrize(
    "make", [SAMPLERS["GA"], SAMPLERS["Recurrence"]], ids=["GA", "Recurrence"]
)
def test_trials_added_from_another_unnamed_study_take_no_slots(
    make: Callable[[int], BaseSampler],
) -> None:
    first = optuna.create_study(sampler=make(0))
    first.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    second, third = (optuna.create_study(sampler=make(0)) for _ in range(2))
    second.add_trials(first.trials[-2:])
    for trial in first.trials[-2:]:
        third.add_trial(
            optuna.create_trial(
                params=trial.params,
                distributions={"x": FloatDistribution(0, 1)},
                value=trial.value,
            )
        )
    for study in (second, third):
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    assert [t.params for t in second.trials] == [t.params for t in third.trials]

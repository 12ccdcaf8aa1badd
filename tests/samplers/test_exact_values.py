"""A value taken from an observed trial is exactly that value, not one rounding beside it."""

from collections.abc import Callable
import math

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.surrogates import SpaceEncoding


CONTINUOUS = ("lr", "decay", "width")  # no draw meets an observed value by chance


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    decay = trial.suggest_float("decay", 1e-12, 1e3, log=True)  # wide: far from exact in logs
    width = trial.suggest_float("width", -1e3, 1e3)
    rate = trial.suggest_float("rate", 0.1, 1.3, step=0.1)
    return (
        abs(math.log10(lr) + 3) + abs(math.log10(decay) + 4) + abs(width) / 300 + abs(rate - 0.3)
    )


def old_study() -> optuna.Study:
    """Return a study of values as people write them: few are the exp of some unit."""
    rng = np.random.default_rng(5)
    study = optuna.create_study(study_name="old", sampler=RandomSampler(seed=5))
    for _ in range(25):
        values = 10.0 ** rng.uniform(-5, -1), 10.0 ** rng.uniform(-12, 3), rng.uniform(-1e3, 1e3)
        lr, decay, width = (float(f"{value:.4g}") for value in values)
        rate = round(0.1 * int(rng.integers(1, 14)), 1)  # 0.3, where 0.1 + 2 * 0.1 is not
        study.enqueue_trial({"lr": lr, "decay": decay, "width": width, "rate": rate})
    study.optimize(objective, n_trials=25)
    return study


SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "GA": lambda: GASampler(population_size=6, seed=0),
    "Thompson": lambda: ThompsonSampler(n_startup_trials=5, seed=0),
    "Hybrid": lambda: HybridSampler(population_size=6, n_generations=3, seed=0),
    "Recurrence": lambda: RecurrenceSampler(population_size=4, mutation_prob=0.3, seed=0),
    "Recurrence-published": lambda: RecurrenceSampler.published(
        population_size=4, anneal=(), seed=0
    ),
    "MetaPrior": lambda: MetaPriorSampler([old_study()], seed=0),
}


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_no_value_is_one_rounding_beside_an_observed_one(make: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(study_name="exact", sampler=make())
    study.add_trials(old_study().trials)
    n_added = len(study.trials)
    study.optimize(objective, n_trials=40)
    n_repeated = 0
    for name in CONTINUOUS:
        for k in range(n_added, len(study.trials)):
            value = study.trials[k].params[name]
            near = {
                t.params[name]
                for t in study.trials[:k]
                if math.isclose(t.params[name], value, rel_tol=1e-9)
            }
            assert not near or value in near, (name, value, near)
            n_repeated += value in near
    # or this would test nothing; the hybrid climbs, and so repeats few values
    assert n_repeated > (0 if isinstance(study.sampler, HybridSampler) else 10)


def test_the_best_member_keeps_exactly_what_it_has() -> None:
    sampler = RecurrenceSampler(population_size=2, exploit_quantile=0.0, retention=1.0, seed=0)
    study = optuna.create_study(study_name="kept", sampler=sampler)
    study.optimize(objective, n_trials=12)
    for k in range(2):
        assert {tuple(t.params.values()) for t in study.trials[k::2]} == {
            tuple(study.trials[k].params.values())
        }


def test_the_first_trials_after_old_studies_are_exactly_theirs() -> None:
    old = old_study()
    study = optuna.create_study(study_name="new", sampler=MetaPriorSampler([old], seed=0))
    study.optimize(objective, n_trials=2)
    assert all(t.params in [o.params for o in old.trials] for t in study.trials)


def test_a_value_beside_the_range_is_moved_into_it() -> None:
    old = optuna.create_study(study_name="old", sampler=RandomSampler(seed=0))
    old.optimize(lambda t: t.suggest_float("x", 2.0, 3.0), n_trials=5)
    study = optuna.create_study(sampler=MetaPriorSampler([old], seed=0))
    study.optimize(lambda t: t.suggest_float("x", 0.0, 1.0), n_trials=1)
    assert {t.params["x"] for t in study.trials} == {1.0}


def test_fit_keeps_what_fits_and_moves_the_rest() -> None:
    tenths = FloatDistribution(0.1, 1.3, step=0.1)
    assert fit(0.3, tenths) == 0.3 != 0.1 + 2 * 0.1
    assert fit(0.34, tenths) == 0.1 + 2 * 0.1
    assert fit(2.0, tenths) == 1.3


def test_recall_gives_a_known_number_back_and_decodes_the_others() -> None:
    encoding = SpaceEncoding({"lr": FloatDistribution(1e-5, 1e-1, log=True)})
    known = [{"lr": 10.0 ** (-5 + 0.04 * k)} for k in range(100)]
    units = encoding.units(known)
    recalled = [encoding.recall(row, units, known) for row in units]
    assert recalled == known
    assert [encoding.values(row) for row in units] != known  # why there is `recall`
    between = units[0] + 0.123
    assert encoding.recall(between, units, known) == encoding.values(between)

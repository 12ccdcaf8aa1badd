"""CMA-ES whose state is made from the trials: Optuna's search, and no pickle is read."""

from collections.abc import Callable
from pathlib import Path
import pickle
from typing import Any

import optuna
import pytest

from optuna_evo.samplers import ReplayedCmaEsSampler
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_sampler


pytest.importorskip("cmaes")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "startup": {"n_startup_trials": 5},
    "separable": {"use_separable_cma": True},
    "margin": {"with_margin": True},
    "pruned": {"consider_pruned_trials": True, "popsize": 4},
}


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 1e-4, 1, log=True)
    n = trial.suggest_int("n", 1, 9)
    trial.report(x * x, 1)
    if trial.number % 7 == 3:
        raise optuna.TrialPruned
    return x * x + (y - 0.1) ** 2 + 0.01 * n


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_proposes_what_optunas_sampler_proposes(
    options: dict[str, Any], direction: str
) -> None:
    def run(make: Callable[..., optuna.samplers.BaseSampler]) -> optuna.Study:
        study = optuna.create_study(direction=direction, sampler=make(seed=3, **options))
        study.optimize(objective, n_trials=60)
        return study

    ours, theirs = run(ReplayedCmaEsSampler), run(optuna.samplers.CmaEsSampler)
    numbers = [n for t in ours.trials for key, n in t.system_attrs.items() if "generation" in key]
    assert max(numbers) >= 3
    for a, b in zip(ours.trials, theirs.trials, strict=True):
        assert a.params == pytest.approx(b.params, abs=1e-9)
    assert not [key for t in ours.trials for key in t.system_attrs if "optimizer" in key]


class _Opens:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_a_pickle_in_the_database_is_not_read(tmp_path: Path) -> None:
    spec = StudySpec.from_dict(
        {"name": "s", "sampler": {"name": "cmaes"}, "direction": "minimize"}
    )
    study = optuna.create_study(sampler=build_sampler(spec, 0))
    study.optimize(objective, n_trials=3)
    storage = study._storage
    hidden = pickle.dumps(_Opens(tmp_path / "ran")).hex()
    for trial in study.trials:
        keys = {"cma:optimizer:0": hidden, "cma:generation": 0}
        template = optuna.trial.create_trial(
            params=trial.params, distributions=trial.distributions, value=1.0, system_attrs=keys
        )
        storage.create_new_trial(study._study_id, template)
    study.optimize(objective, n_trials=20)
    assert not (tmp_path / "ran").exists()
    plain = StudySpec.from_dict({"name": "s", "sampler": {"name": "optuna.samplers:CmaEsSampler"}})
    assert isinstance(build_sampler(plain, 0), ReplayedCmaEsSampler)

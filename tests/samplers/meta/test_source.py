"""A source is what a study found, compactly; whatever is not a finite result is left out."""

import math

import numpy as np
import optuna
from optuna.trial import Trial
from optuna.trial import TrialState
import pytest

from optuna_evo.errors import UsageError
from optuna_evo.samplers import read_source
from optuna_evo.samplers import read_sources
from tests.samplers.meta.old_studies import old


def test_only_complete_trials_with_finite_values_are_read() -> None:
    study = old(n_trials=3)
    study.optimize(lambda t: math.inf * t.suggest_float("lr", 1e-5, 1e-1, log=True), n_trials=1)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.ask()
    assert read_source(study).losses.tolist() == [t.value for t in study.trials[:3]]


def test_a_maximised_study_is_turned_around() -> None:
    study = old(direction="maximize", n_trials=4)
    assert read_source(study).losses.tolist() == [-t.values[0] for t in study.trials]


def test_configurations_come_back_as_they_were_suggested() -> None:
    study = old(n_trials=5)
    assert list(read_source(study).configurations) == [t.params for t in study.trials]


def test_a_parameter_that_a_trial_did_not_have_is_missing_in_it() -> None:
    def branch(trial: Trial) -> float:
        if trial.number % 2:
            trial.suggest_float("momentum", 0, 1)
        return trial.suggest_float("lr", 0, 1)

    source = read_source(old(objective=branch, n_trials=4))
    assert np.isnan(source.params["momentum"]).tolist() == [True, False, True, False]
    assert "momentum" not in source.configurations[0]


def test_the_fingerprint_is_of_the_content() -> None:
    assert read_source(old("a")).fingerprint == read_source(old("b")).fingerprint
    assert read_source(old(n_trials=5)).fingerprint != read_source(old(n_trials=6)).fingerprint


def test_meta_features_are_the_finite_numbers_of_the_attribute() -> None:
    study = old(n_trials=1)
    study.set_user_attr("meta_features", {"n_rows": 100, "name": "x", "entropy": math.inf})
    assert read_source(study).meta_features == {"n_rows": 100.0}


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    with pytest.raises(UsageError, match="one objective"):
        read_source(study)


def test_sources_are_read_from_a_database(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    for name in ("first", "second"):
        old(name, n_trials=3, storage=url)
    optuna.create_study(study_name="empty", storage=url)
    assert sorted(s.name for s in read_sources(url)) == ["first", "second"]
    assert [s.name for s in read_sources(url, ["second"])] == ["second"]
    with pytest.raises(UsageError, match="first, second"):
        read_sources(url, ["third"])

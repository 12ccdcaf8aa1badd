"""Studies of lineages that begin where the lineages of other studies went best."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import segment_of
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study


def lineage_spec(name: str, folder: Path, **changes: Any) -> StudySpec:
    spec: dict[str, Any] = {
        "name": name,
        "tasks": ["digits"],
        "direction": "maximize",
        "n_trials": 12,
        "space": {"name": "training", "lr": [1e-4, 1e-2], "batch_size": False, "dropout": False},
        "sampler": {"name": "recurrence", "population_size": 4, "anneal": ["lr"]},
        "trainer": {"steps": 2},
        "objective": {"name": "segment", "reports": 1},
        "lineage": {"checkpoints": str(folder / "checkpoints")},
    }
    return StudySpec.from_dict(spec | changes)


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.BaseStorage:
    """Return a storage with a finished study of lineages, "old"."""
    storage = optuna.storages.InMemoryStorage()
    run_study(create_study(lineage_spec("old", tmp_path), storage), device="cpu")
    return storage


def quarter(study: optuna.Study) -> dict[str, Any]:
    """Return the hyperparameters at a quarter of the best lineage."""
    trials, lineage = study.get_trials(), [study.best_trial]
    while (parent := segment_of(lineage[0]).parent) is not None:  # type: ignore[union-attr]
        lineage.insert(0, trials[parent])
    return lineage[len(lineage) // 4].params


def test_a_first_segment_has_what_an_old_lineage_had(storage: Any, tmp_path: Path) -> None:
    old = load_study("old", storage).study
    spec = lineage_spec("new", tmp_path, warm_start=["old"])
    stored = create_study(spec, storage)
    assert isinstance(stored.study.sampler, RecurrenceSampler)
    run_study(stored, device="cpu")
    trials = stored.study.get_trials()
    assert trials[0].params == pytest.approx(quarter(old))
    assert all(segment_of(t).parent is None for t in trials[:4])  # type: ignore[union-attr]
    assert trials[1].params["lr"] != pytest.approx(trials[0].params["lr"])


def test_values_are_moved_into_other_ranges(storage: Any, tmp_path: Path) -> None:
    space = {"name": "training", "lr": [0.02, 0.1], "batch_size": [8, 16], "dropout": False}
    spec = lineage_spec("new", tmp_path, warm_start=["old"], space=space)
    stored = create_study(spec, storage)
    trial = stored.study.ask()
    assert trial.suggest_float("lr", 0.02, 0.1, log=True) == 0.02
    assert 8 <= trial.suggest_int("batch_size", 8, 16, log=True) <= 16


def test_whole_trainings_give_their_best(storage: Any, tmp_path: Path) -> None:
    other = optuna.create_study(study_name="plain", storage=storage, direction="maximize")
    lr = optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    for value in (0.2, 0.9, 0.5):
        rate = value * 1e-2
        other.add_trial(
            optuna.create_trial(value=value, params={"lr": rate}, distributions={"lr": lr})
        )
    stored = create_study(lineage_spec("new", tmp_path, warm_start=["plain", "old"]), storage)
    rates = [stored.study.ask().suggest_float("lr", 1e-4, 1e-2, log=True) for _ in range(2)]
    old = quarter(load_study("old", storage).study)["lr"]
    assert rates == pytest.approx([0.9e-2, old])


def test_at_most_half_of_the_members_begin_so(storage: Any, tmp_path: Path) -> None:
    sampler = {"name": "recurrence", "population_size": 2, "first": [{"lr": 3e-3}]}
    spec = lineage_spec("new", tmp_path, warm_start=["old"], sampler=sampler)
    stored = create_study(spec, storage)
    rates = [stored.study.ask().suggest_float("lr", 1e-4, 1e-2, log=True) for _ in range(2)]
    assert rates[0] == 3e-3
    assert rates[1] != pytest.approx(quarter(load_study("old", storage).study)["lr"])


def test_what_cannot_be_used_is_one_line(storage: Any, tmp_path: Path) -> None:
    study = optuna.create_study(study_name="alien", storage=storage, direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    with pytest.raises(UsageError, match="no parameter in common"):
        create_study(lineage_spec("new", tmp_path, warm_start=["alien"]), storage)
    with pytest.raises(SpecError, match="`priors` go with trials that are whole trainings"):
        create_study(lineage_spec("new", tmp_path, priors={"lr": {"center": 1e-3}}), storage)

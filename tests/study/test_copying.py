"""Copies of studies."""

from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard import save_note
from optuna_dashboard._note import get_note_from_system_attrs
from optuna_dashboard._note import save_note_with_version
import pytest

from optuna_evo.attributes import WORKER
from optuna_evo.errors import UsageError
from optuna_evo.search import _leases as leases
from optuna_evo.search import open_storage
from optuna_evo.study import copy_study
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from tests.study.test_study import finished
from tests.study.test_study import small_spec


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.RDBStorage:
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_copy_goes_on_as_the_original_would_have(storage: Any) -> None:
    old = create_study(small_spec(), storage)
    run_study(old, n_more=4, device="cpu")
    copy_study("small", "fork", storage)
    fork = load_study("fork", storage)
    assert fork.spec.name == "fork" and finished(fork.study) == finished(old.study)
    for stored in (old, fork):
        run_study(stored, device="cpu")
    assert finished(fork.study) == finished(old.study)  # the generation is bred alike


def test_a_trial_that_is_being_trained_waits_in_the_copy(storage: Any) -> None:
    old = create_study(small_spec(), storage)
    run_study(old, n_more=1, device="cpu")
    leases.ask(old.study).suggest_float("lr", 1e-3, 1e-1, log=True)
    copy = copy_study("small", "fork", storage)
    first, second = copy.get_trials()
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.WAITING)
    assert second.params == old.study.get_trials()[1].params and not WORKER.is_in(
        second.user_attrs
    )


def test_notes_stay_with_their_trials(storage: Any) -> None:
    before = optuna.create_study(study_name="before", storage=storage)
    before.add_trial(optuna.create_trial(value=0.0))  # so that ids and numbers differ
    study = optuna.create_study(study_name="foreign", storage=storage)
    study.add_trials([optuna.create_trial(value=float(i)) for i in range(3)])
    save_note(study, "of the study")
    save_note_with_version(storage, study._study_id, study.trials[1]._trial_id, 1, "of trial 1")
    copy = copy_study("foreign", "fork", storage)
    assert get_note(copy) == "of the study"
    attrs = storage.get_study_system_attrs(copy._study_id)
    notes = [get_note_from_system_attrs(attrs, trial._trial_id) for trial in copy.trials]
    assert [note["body"] for note in notes] == ["", "of trial 1", ""]


@pytest.mark.parametrize(
    ("name", "new_name", "message"),
    [
        ("nope", "fork", "There is no study 'nope' in this database; there are: small"),
        ("small", "small", "There is a study 'small' already"),
    ],
)
def test_what_cannot_be_copied_is_said(
    storage: Any, name: str, new_name: str, message: str
) -> None:
    create_study(small_spec(), storage)
    with pytest.raises(UsageError, match=message):
        copy_study(name, new_name, storage)

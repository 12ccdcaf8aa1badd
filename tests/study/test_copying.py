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

from optuna_evo.attributes import LOST_CHECKPOINT
from optuna_evo.attributes import SCHEMA
from optuna_evo.attributes import SCHEMA_VERSION
from optuna_evo.attributes import WORKER
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.search import _leases as leases
from optuna_evo.search import open_storage
from optuna_evo.search import study_names
from optuna_evo.spec import StudySpec
from optuna_evo.study import copy_study
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from optuna_evo.warm_start import read_references
from tests.cli.test_cli import call
from tests.search.test_lineage import SPEC as SEGMENTS
from tests.study.test_study import finished
from tests.study.test_study import small_spec
from tests.warm_start.test_warm_start import old_study
from tests.warm_start.test_warm_start import sources_of
from tests.warm_start.test_warm_start import training_spec


def segment_spec(**changes: Any) -> StudySpec:
    return StudySpec.from_dict({**SEGMENTS, **changes})


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


def test_ids_of_trials_are_those_of_the_copy(storage: Any) -> None:
    optuna.create_study(study_name="before", storage=storage).add_trial(
        optuna.create_trial(value=0.0)
    )
    sampler = optuna.samplers.NSGAIISampler(population_size=4, seed=0)
    study = optuna.create_study(study_name="foreign", storage=storage, sampler=sampler)
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=10)
    first = study.trials[0]._trial_id
    storage.set_study_system_attr(study._study_id, f"preference:skip_trial:{first}", True)
    to = open_storage("sqlite:///:memory:")
    copied = copy_study("foreign", "fork", storage, to=to)
    attrs = to.get_study_system_attrs(copied._study_id)
    parents = {key: value for key, value in attrs.items() if ":parent:" in key}
    assert parents and {i for ids in parents.values() for i in ids} <= set(range(1, 11))
    copied.sampler = study.sampler = optuna.samplers.NSGAIISampler(population_size=4, seed=1)
    numbers = [
        [t.number for t in sampler.get_parent_population(each, 1)] for each in (study, copied)
    ]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 4
    assert "preference:skip_trial:1" in attrs


def test_a_copy_elsewhere_names_its_sources_as_seen_from_there(
    storage: Any, tmp_path: Path
) -> None:
    old_study(storage)
    create_study(training_spec("new", warm_start=["old"]), storage)
    to = open_storage(f"sqlite:///{tmp_path / 'b.db'}")
    copy_study("new", "new", storage, to=to)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    stored = load_study("new", to)
    assert [str(r) for r in read_references(stored.study)] == [f"{url}#old"]
    assert stored.spec.warm_start == (f"{url}#old",)
    assert sources_of(stored.study.sampler) == [f"{url}#old"]
    back = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    copy_study("new", "again", to, to=back)
    assert load_study("again", back).spec.warm_start == ("old",)


def test_a_lineage_is_copied_with_its_checkpoints(storage: Any, tmp_path: Path) -> None:
    old = create_study(segment_spec(), storage)
    run_study(old, n_more=5, device="cpu")
    to = open_storage(f"sqlite:///{tmp_path / 'b.db'}")
    copy_study(old.spec.name, old.spec.name, storage, to=to)
    copied = load_study(old.spec.name, to)
    for stored in (old, copied):
        run_study(stored, device="cpu")
    assert finished(copied.study) == finished(old.study)
    assert not any(LOST_CHECKPOINT.is_in(t.user_attrs) for t in copied.study.get_trials())
    assert (tmp_path / "b.checkpoints").is_dir()


def test_two_studies_never_share_checkpoints(storage: Any, tmp_path: Path) -> None:
    spec = segment_spec(lineage={"checkpoints": str(tmp_path / "kept")})
    old = create_study(spec, storage)
    run_study(old, n_more=2, device="cpu")
    to = open_storage(f"sqlite:///{tmp_path / 'b.db'}")
    with pytest.raises(UsageError, match="would have the same checkpoints"):
        copy_study(spec.name, spec.name, storage, to=to)
    assert study_names(to) == []
    elsewhere = str(tmp_path / "elsewhere")
    copy_study(spec.name, spec.name, storage, to=to, new_checkpoints=elsewhere)
    assert load_study(spec.name, to).spec.lineage.checkpoints == elsewhere
    assert len(list((tmp_path / "elsewhere").rglob("*.pt"))) == 2


def test_a_study_of_a_newer_schema_is_not_copied(storage: Any) -> None:
    stored = create_study(small_spec(), storage)
    stored.study.set_user_attr(SCHEMA.key, SCHEMA_VERSION + 1)
    with pytest.raises(StorageError, match="was made by a newer optuna_evo"):
        copy_study("small", "fork", storage)


def test_the_command_copies_from_database_to_database(
    storage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_study(small_spec(), storage)
    a, b = (f"sqlite:///{tmp_path / name}.db" for name in "ab")
    code, out, _ = call(capsys, "study", "copy", f"{a}#small", b)
    assert code == 0 and out.startswith(f"Copied 0 trials to study 'small' in {b}.\n")
    assert call(capsys, "study", "copy", "small", f"{a}#again", "--storage", b)[0] == 0
    assert study_names(open_storage(a)) == ["small", "again"]
    code, _, err = call(capsys, "study", "copy", "nope", b, "--storage", a)
    assert code == 2 and "There is no study 'nope' in this database" in err

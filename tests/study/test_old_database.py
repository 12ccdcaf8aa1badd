"""A database of schema 1, from before keys had a prefix: its studies are shown and go on."""

import gzip
from pathlib import Path
import shutil

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import META_FEATURES
from optuna_evo.attributes import OBJECTIVE
from optuna_evo.attributes import PARENT
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import SCHEMA
from optuna_evo.attributes import SCHEMA_VERSION
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.attributes import WORKER
from optuna_evo.search import open_storage
from optuna_evo.search import parent_of
from optuna_evo.study import copy_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from optuna_evo.warm_start import read_weights
from tests.cli.test_cli import call


ASSET = Path(__file__).parents[1] / "assets" / "schema1.db.gz"
STUDIES = ["genomes", "tuned", "lineage", "table", "warm"]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with gzip.open(ASSET) as packed, (tmp_path / "old.db").open("wb") as file:
        shutil.copyfileobj(packed, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTUNA_EVO_STORAGE", "sqlite:///old.db")
    return "sqlite:///old.db"


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.filterwarnings("ignore::UserWarning:optuna_dashboard")
def test_an_old_study_is_shown_and_goes_on(
    url: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in call(capsys, "study", "list")[1]
    code, out, err = call(capsys, "study", "show", name)
    assert (code, err) == (0, "") and "best: trial" in out
    assert call(capsys, "study", "report", name, "--out", "a.png")[0] == 0
    before = optuna.load_study(study_name=name, storage=url).get_trials()
    stored = load_study(name, open_storage(url))
    run_study(stored, device="cpu")
    trials = stored.study.get_trials()
    assert len([t for t in trials if t.state == TrialState.COMPLETE]) == stored.spec.n_trials
    assert [t.params for t in trials[: len(before)]] == [t.params for t in before]
    assert SCHEMA.read(stored.study.user_attrs) == SCHEMA_VERSION
    for trial in trials[len(before) :]:
        assert WORKER.key in trial.user_attrs and FINGERPRINT.key in trial.user_attrs
        assert not {WORKER.aliases[0], FINGERPRINT.aliases[0]} & trial.user_attrs.keys()
    assert call(capsys, "study", "show", name)[0] == 0


def test_what_was_trained_then_is_not_trained_again(url: str) -> None:
    stored = load_study("tuned", open_storage(url))
    first = stored.study.get_trials()[0]
    stored.study.enqueue_trial(first.params)
    run_study(stored, device="cpu", n_more=1)
    again = stored.study.get_trials()[-1]
    assert FINGERPRINT.read(again.user_attrs) == FINGERPRINT.read(first.user_attrs)
    assert OBJECTIVE.read(again.user_attrs) == OBJECTIVE.read(first.user_attrs)
    assert REUSED_FROM.read(again.user_attrs) == 0 and again.value == first.value


def test_who_went_on_from_whom_and_how_far_sources_are_believed_is_read(url: str) -> None:
    lineage = optuna.load_study(study_name="lineage", storage=url)
    parents = [parent_of(trial) for trial in lineage.get_trials()]
    assert parents[:3] == [None] * 3 and all(parent is not None for parent in parents[3:])
    assert PARENT.read(lineage.get_trials()[3].user_attrs) == parents[3]
    warm = optuna.load_study(study_name="warm", storage=url)
    assert 0 <= read_weights(warm)["table"] <= 1
    assert SOURCE_WEIGHTS.key not in warm.user_attrs
    assert META_FEATURES.read(warm.user_attrs)["n_rows"] == 442


def test_a_copy_of_an_old_study_has_what_it_had(url: str) -> None:
    storage = open_storage(url)
    copy = copy_study("genomes", "copied", storage)
    old = optuna.load_study(study_name="genomes", storage=storage)
    assert [t.user_attrs for t in copy.get_trials()] == [t.user_attrs for t in old.get_trials()]

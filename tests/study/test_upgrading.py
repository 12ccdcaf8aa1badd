"""`study upgrade`: a database of schema 1 becomes one of the newest, and means the same."""

from pathlib import Path
import sqlite3
from typing import Any

import optuna
import pytest

from optuna_evo.attributes import ATTRIBUTES
from optuna_evo.attributes import SCHEMA
from optuna_evo.attributes import SCHEMA_VERSION
from optuna_evo.errors import StorageError
from optuna_evo.search import open_storage
from optuna_evo.study import create_study
from optuna_evo.study import upgrade_studies
from tests.cli.test_cli import call
from tests.study.test_old_database import STUDIES
from tests.study.test_old_database import url as url  # a fixture
from tests.study.test_schema1 import assert_as_before
from tests.study.test_schema1 import EXPECTED
from tests.study.test_schema1 import go_on
from tests.study.test_study import small_spec


ALIASES = {alias for attribute in ATTRIBUTES for alias in attribute.aliases}


def keys(study: optuna.Study) -> set[str]:
    storage = study._storage
    found = {*study.user_attrs, *storage.get_study_system_attrs(study._study_id)}
    for trial in study.get_trials(deepcopy=False):
        found |= {*trial.user_attrs, *trial.system_attrs}
    return found


def meaning(study: optuna.Study) -> list[Any]:
    """Return what our own code reads."""
    return [
        [attribute.read({**trial.user_attrs, **trial.system_attrs}) for attribute in ATTRIBUTES]
        for trial in study.get_trials(deepcopy=False)
    ]


def test_an_upgraded_study_means_the_same_and_has_no_old_keys(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: optuna.load_study(study_name=name, storage=url) for name in STUDIES}
    assert any(keys(study) & ALIASES for study in before.values())
    meant = {name: meaning(study) for name, study in before.items()}
    code, out, err = call(capsys, "study", "upgrade")
    assert (code, err) == (0, "") and out.count("attributes renamed") == len(STUDIES)
    for name in STUDIES:
        study = optuna.load_study(study_name=name, storage=url)
        assert not keys(study) & ALIASES
        assert meaning(study) == meant[name]
        assert SCHEMA.read(study.user_attrs) == SCHEMA_VERSION
        assert call(capsys, "study", "show", name)[0] == 0
    assert call(capsys, "study", "upgrade")[1].count("nothing to do") == len(STUDIES)


@pytest.mark.parametrize("name", ["genomes", "tuned"])
def test_an_upgraded_study_goes_on_as_it_would_have(url: str, tmp_path: Path, name: str) -> None:
    list(upgrade_studies(open_storage(url), [name]))
    assert_as_before(go_on(url, tmp_path, name), len(EXPECTED[name]))


def test_what_cannot_be_upgraded_is_left_as_it_is(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage(url)
    optuna.create_study(study_name="foreign", storage=storage).set_user_attr("worker", "me")
    assert call(capsys, "study", "upgrade")[0] == 0
    foreign = optuna.load_study(study_name="foreign", storage=storage)
    assert foreign.user_attrs == {"worker": "me"}
    code, _, err = call(capsys, "study", "upgrade", "foreign")
    assert code == 2 and "was not made by optuna_evo" in err
    code, _, err = call(capsys, "study", "upgrade", "nope")
    assert code == 2 and "There is no study 'nope'" in err
    optuna.load_study(study_name="tuned", storage=storage).set_user_attr(SCHEMA.key, 99)
    for command in ("upgrade", "show", "run", "report"):
        code, _, err = call(capsys, "study", command, "tuned")
        assert code == 1 and "was made by a newer optuna_evo (schema 99" in err
        assert err.count("\n") == 1


def test_a_journal_is_upgraded_by_copying_it(tmp_path: Path) -> None:
    storage = open_storage(f"journal://{tmp_path / 'a.log'}")
    create_study(small_spec(), storage)
    with pytest.raises(StorageError, match="copy them to one by `optuna_evo study copy"):
        list(upgrade_studies(storage))


def test_tables_of_an_older_optuna_are_upgraded_and_newer_ones_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stamp(version: str) -> None:
        with sqlite3.connect(tmp_path / "old.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.close()

    head = open_storage(url).backing.get_current_version()  # type: ignore[attr-defined]
    stamp("v3.0.0.d")  # Optuna's last step only adds an index
    code, _, err = call(capsys, "study", "list")
    assert code == 1 and "upgrade the database by `optuna_evo study upgrade`" in err
    code, out, err = call(capsys, "study", "upgrade", "tuned")
    assert (code, err) == (0, "") and f"Optuna's tables: v3.0.0.d -> {head}." in out
    assert call(capsys, "study", "list")[0] == 0
    stamp("v99.0.0")
    code, _, err = call(capsys, "study", "upgrade", "tuned")
    assert code == 1 and "was made by a newer Optuna (tables v99.0.0)" in err

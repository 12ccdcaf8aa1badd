from pathlib import Path
import sqlite3
import warnings

import optuna
import pytest

from optuna_evo.errors import StorageError
from optuna_evo.search import default_url
from optuna_evo.search import make_durable
from optuna_evo.search import open_storage


def test_an_sqlite_file_is_made_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    optuna.create_study(storage=open_storage(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_makes_no_file_and_has_no_heartbeat(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage(url)
    optuna.create_study(storage=storage)
    assert storage.heartbeat_interval is None and not list(tmp_path.iterdir())


def test_opening_is_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def test_the_default_is_the_environment_then_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    assert default_url() == "sqlite:///optuna_evo.db"
    monkeypatch.setenv("OPTUNA_EVO_STORAGE", "sqlite:///other.db")
    assert default_url() == "sqlite:///other.db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("studies.db", "'studies.db' is no database URL"),
        ("nosuch://host/db", "names no database we can open"),
        (
            "postgresql://me:secret@127.0.0.1:1/db",
            r"Cannot open postgresql://me:\*\*\*@127.0.0.1:1",
        ),
        ("sqlite:////no/such/folder/a.db", "The folder /no/such/folder .* does not exist"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_never_makes_a_file(tmp_path: Path) -> None:
    hint = "or make it with `optuna_evo study create`.$"
    with pytest.raises(StorageError, match=f"^There is no database .*{hint}"):
        open_storage(f"sqlite:///{tmp_path / 'a.db'}", create=False)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("this is a letter, not a database " * 100)
    with pytest.raises(StorageError, match="is it a writable SQLite file"):
        open_storage(f"sqlite:///{path}")


def test_a_database_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_storage(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
        connection.execute("UPDATE version_info SET schema_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="another version of Optuna"):
        open_storage(f"sqlite:///{path}")


def test_writes_do_not_wait_for_the_disk_and_a_batch_is_made_durable(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    study = optuna.create_study(storage=storage, study_name="s")
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    study.set_user_attr("a", "x" * 50_000)
    before = (tmp_path / "a.db").read_bytes()
    make_durable(study)
    assert b"x" * 1000 not in before and b"x" * 1000 in (tmp_path / "a.db").read_bytes()


def test_a_study_in_memory_needs_nothing_to_be_durable() -> None:
    make_durable(optuna.create_study())

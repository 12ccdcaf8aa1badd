"""Open the database that studies live in, and say in one line why that fails.

SQLite files are put in WAL mode with a long busy timeout, so several workers and the dashboard can
share one. Trials carry a heartbeat: see `optuna_evo.search._leases`.
"""

from contextlib import closing
import os
from pathlib import Path
import sqlite3
from typing import Any
from urllib.parse import quote
import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback
from sqlalchemy.engine import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.exc import SQLAlchemyError

from optuna_evo.errors import StorageError
from optuna_evo.names import printable
from optuna_evo.names import shown_url
from optuna_evo.names import without_secrets
from optuna_evo.search._lean import LeanStorage


__all__ = ["database_exists", "default_url", "make_durable", "open_storage"]

_BUSY_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 10
_HEARTBEAT_INTERVAL_S = 30
_GRACE_PERIOD_S = 120
_EXAMPLES = "sqlite:///studies.db or postgresql://user@host/database"


def default_url() -> str:
    """Return `OPTUNA_EVO_STORAGE`, else an SQLite file in the working folder."""
    return os.environ.get("OPTUNA_EVO_STORAGE") or "sqlite:///optuna_evo.db"


def database_exists(url: str) -> bool:
    """Tell whether there is a file, for an SQLite URL; True for all others.

    Raises:
        StorageError: If the URL is wrong.
    """
    parsed = _parse(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, ":memory:")
    return _is_there(Path(str(parsed.database))) if is_file else True


def open_storage(
    url: str | None = None, *, create: bool = True, read_only: bool = False
) -> RDBStorage:
    """Open a database by its URL.

    Args:
        url: An SQLAlchemy URL; None: `default_url()`.
        create: Whether an SQLite file that is not there may be made.
        read_only: Whether to leave the database as it is: no tables, no journal mode, no
            heartbeats; an SQLite file may be one that cannot be written.

    Raises:
        StorageError: If the URL is wrong, the database cannot be reached or written, or was made
            by a newer Optuna.
    """
    url = url or default_url()
    options: dict[str, Any] = {"skip_table_creation": True} if read_only else _heartbeat_options()
    parsed = _parse(url)
    shown = shown_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or ":memory:")
        if str(path) == ":memory:":  # seen by one thread only: a heartbeat could not be heard
            options = {}
        elif read_only:
            _check_exists(path)
            url = f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true"
        else:
            _prepare_sqlite(path, create=create)
        arguments = {"timeout": _BUSY_TIMEOUT_S, "factory": _Connection}
        options["engine_kwargs"] = {"connect_args": arguments}
    elif read_only and parsed.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        # what may be gone must not keep a worker waiting
        options["engine_kwargs"] = {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are, to Optuna
            return LeanStorage(url, **options)
    except (NoSuchModuleError, ArgumentError) as error:
        raise StorageError(
            f"{shown!r} names no database we can open; write {_EXAMPLES}."
        ) from error
    except ImportError as error:
        raise StorageError(
            f"The driver for {shown} is not installed ({without_secrets(str(error), url)}): "
            "pip install 'optuna-evo[postgres]' or 'optuna-evo[mysql]'."
        ) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = without_secrets(str(error.__cause__ or error).splitlines()[0], url)
        raise StorageError(f"Cannot open {shown}: {reason}") from error
    except (TypeError, ValueError) as error:  # what a driver makes of an unknown parameter
        reason = without_secrets(str(error).splitlines()[0], url)
        raise StorageError(
            f"{shown} cannot be opened ({reason}): check what stands behind the ? in it."
        ) from error
    except RuntimeError as error:  # what Optuna raises for a schema it does not know
        raise StorageError(
            f"{shown} was written by another version of Optuna: {error} "
            "Install that version, or upgrade the database by `optuna storage upgrade`."
        ) from error


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise StorageError(f"{shown_url(url)!r} is no database URL; write {_EXAMPLES}.") from error


def make_durable(study: optuna.Study) -> None:
    """Have all that is written so far survive a loss of power; for SQLite in WAL mode."""
    storage: Any = study._storage
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    if engine is not None and engine.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").close()


class _Connection(sqlite3.Connection):
    """A connection that does not wait for the disk at every write.

    In WAL mode nothing is lost when a process dies; a loss of power may take back what was written
    since the last `make_durable`. A trial makes some 25 writes, a batch one such call.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA synchronous=NORMAL").close()


def _heartbeat_options() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        callback = RetryHeartbeatStaleTrialCallback()
    return {
        "heartbeat_interval": _HEARTBEAT_INTERVAL_S,
        "grace_period": _GRACE_PERIOD_S,
        "heartbeat_stale_trial_callback": callback,
    }


def _prepare_sqlite(path: Path, *, create: bool) -> None:
    """Check that the file can be used and put it in WAL mode, which it then keeps."""
    if not create:
        _check_exists(path)
    elif not (_is_there(path.parent) and path.parent.is_dir()):
        raise StorageError(f"The folder {path.parent} of database {path} does not exist.")
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise StorageError(
            f"Cannot open {path} ({error}): is it a writable SQLite file in a writable folder?"
        ) from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # too long, or with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{printable(str(path))[:200]} cannot be a database file: {reason}."
        ) from error


def _check_exists(path: Path) -> None:
    if not _is_there(path):
        raise StorageError(
            f"There is no database {path}: name one by --storage or OPTUNA_EVO_STORAGE, "
            "or make it with `optuna_evo study create`."
        )

"""Open the database that studies live in, and say in one line why that fails.

SQLite files are put in WAL mode with a long busy timeout, so several workers and the dashboard can
share one. Trials carry a heartbeat: see `optuna_evo.search._leases`.
"""

from contextlib import closing
import math
import os
from pathlib import Path
import sqlite3
import time
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
from sqlalchemy.pool import StaticPool

from optuna_evo.errors import DiskFullError
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.names import printable
from optuna_evo.names import shown_url
from optuna_evo.names import without_secrets
from optuna_evo.search._faults import Fault
from optuna_evo.search._faults import fault_of
from optuna_evo.search._lean import LeanStorage
from optuna_evo.search._mysql import widen
from optuna_evo.search._others import is_other
from optuna_evo.search._others import open_other
from optuna_evo.search._others import path_of_journal
from optuna_evo.search._pings import ping_after_rest
from optuna_evo.search._resilient import ResilientStorage
from optuna_evo.search._sqlite import SqliteStorage


__all__ = ["database_exists", "default_url", "make_durable", "open_storage"]

_BUSY_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 10
_HEARTBEAT_INTERVAL_S = 30
_GRACE_PERIOD_S = 120
_SILENCE_S = 60  # longer than MySQL waits for a lock
_PATIENCE_S = 600
_OPENING_S, _OPENING_PAUSE_S = 3.0, 0.3
_MYSQL = ("mysql", "mariadb")
_SERVERS = ("postgresql", *_MYSQL)
_EXAMPLES = "sqlite:///studies.db or postgresql://user@host/database"


def default_url() -> str:
    """Return `OPTUNA_EVO_STORAGE`, else an SQLite file in the working folder."""
    return os.environ.get("OPTUNA_EVO_STORAGE") or "sqlite:///optuna_evo.db"


def database_exists(url: str) -> bool:
    """Tell whether there is a file, for SQLite and journals; True for all others.

    Raises:
        StorageError: If the URL is wrong.
    """
    if is_other(url):
        path = path_of_journal(url)
        return path is None or _is_there(path)
    parsed = _parse(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, ":memory:")
    return _is_there(Path(str(parsed.database))) if is_file else True


def open_storage(
    url: str | None = None,
    *,
    create: bool = True,
    read_only: bool = False,
    patience_s: float | None = None,
) -> ResilientStorage:
    """Open a database by its URL.

    Args:
        url: An SQLAlchemy URL, "journal://FILE" or "grpc://HOST:PORT" (see `search._others`);
            None: `default_url()`.
        create: Whether a file that is not there may be made.
        read_only: Whether to leave the database as it is: no tables, no journal mode, no
            heartbeats; an SQLite file may be one that cannot be written.
        patience_s: How long a call is tried again while the database is away, >= 0; None:
            `OPTUNA_EVO_PATIENCE`, in seconds, else ten minutes.

    Raises:
        StorageError: If the URL is wrong, the database cannot be reached or written, or was made
            by a newer Optuna.
    """
    url = url or default_url()
    patience_s = _patience_s() if patience_s is None else patience_s
    if is_other(url):
        return open_other(url, create=create, read_only=read_only, patience_s=patience_s)
    storage = _open_when_there(url, create=create, read_only=read_only, patience_s=patience_s)
    if not read_only and storage.engine.name in _MYSQL:
        widen(storage.engine)
    return ResilientStorage(storage, url=url, patience_s=patience_s)


def _open_when_there(url: str, *, create: bool, read_only: bool, patience_s: float) -> RDBStorage:
    """Open a database, also one that is restarting; not for long, since the URL may be wrong."""
    started = time.monotonic()
    deadline = started + min(patience_s, _OPENING_S)
    while True:
        try:
            return _open_rdb(url, create=create, read_only=read_only)
        except StorageError as error:
            is_away = fault_of(error) is Fault.AWAY
            if "too many" in str(error).lower():  # others will go
                deadline = max(deadline, started + patience_s)
            if read_only or not is_away or time.monotonic() > deadline:
                raise
        time.sleep(_OPENING_PAUSE_S)


def upgrade_tables(url: str | None = None) -> list[str]:
    """Bring Optuna's tables, and what MySQL needs of them, up to date; say what was done.

    Args:
        url: The database; None: `default_url()`.

    Raises:
        StorageError: If it cannot be opened, or was made by a newer Optuna.
    """
    url = url or default_url()
    if is_other(url):
        return []
    storage = _open_rdb(url, create=False, read_only=False, any_version=True)
    done = []
    version = storage.get_current_version()
    if version not in storage.get_all_versions():
        raise StorageError(
            f"{shown_url(url)} was made by a newer Optuna (tables {version}): pip install "
            "--upgrade optuna."
        )
    if version != storage.get_head_version():
        storage.upgrade()
        done.append(f"Optuna's tables: {version} -> {storage.get_head_version()}.")
    if storage.engine.name in _MYSQL and widen(storage.engine, also_filled=True):
        done.append("Texts of any length, exact names and times.")
    storage.engine.dispose()
    return done


def _patience_s() -> float:
    text = os.environ.get("OPTUNA_EVO_PATIENCE") or str(_PATIENCE_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"OPTUNA_EVO_PATIENCE must be seconds from 0 on, got {text!r:.40}.")
    return seconds


def _open_rdb(url: str, *, create: bool, read_only: bool, any_version: bool = False) -> RDBStorage:
    options: dict[str, Any] = {"skip_table_creation": True} if read_only else _heartbeat_options()
    parsed = _parse(url)
    shown = shown_url(url)
    if parsed.get_backend_name() == "sqlite":
        path, has_space = Path(parsed.database or ":memory:"), True
        if str(path) == ":memory:":  # seen by one thread only: a heartbeat could not be heard
            options = {}
        elif read_only:
            _check_exists(path)
            url = f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true"
        else:
            has_space = _prepare_sqlite(path, create=create)
        arguments: dict[str, Any] = {"timeout": _BUSY_TIMEOUT_S, "factory": _Connection}
        options["engine_kwargs"] = {"connect_args": arguments}
        if not has_space:
            arguments |= {"factory": _LonelyConnection, "check_same_thread": False}
            options["engine_kwargs"]["poolclass"] = StaticPool  # a second one would wait for it
    elif parsed.get_backend_name() in _SERVERS:
        options["engine_kwargs"] = _server_options(parsed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are, to Optuna
            if parsed.get_backend_name() == "sqlite":
                return SqliteStorage(url, skip_compatibility_check=any_version, **options)
            storage = LeanStorage(url, skip_compatibility_check=any_version, **options)
            if parsed.get_backend_name() in _SERVERS:
                ping_after_rest(storage.engine)
            return storage
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
            "Install that version, or upgrade the database by `optuna_evo study upgrade`."
        ) from error


def _server_options(url: URL) -> dict[str, Any]:
    """Notice soon that a server is gone, also one that says nothing any more."""
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_TIMEOUT_S}
    driver = url.get_driver_name()
    if driver.startswith("psycopg"):
        arguments |= {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        arguments["tcp_user_timeout"] = 1000 * _SILENCE_S
    elif driver == "pymysql":
        arguments |= {"read_timeout": _SILENCE_S, "write_timeout": _SILENCE_S}
        arguments["charset"] = "utf8mb4"
    given = {key: value for key, value in arguments.items() if key not in url.query}
    # A worker keeps one connection: PostgreSQL has a hundred for all. More are made for a moment.
    return {"connect_args": given, "pool_size": 1, "max_overflow": 9}


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
    since the last `make_durable`. A trial makes some 20 writes, the loop one such call a second.
    """

    pragmas: tuple[str, ...] = ("synchronous=NORMAL",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for pragma in self.pragmas:
            self.execute(f"PRAGMA {pragma}").close()


class _LonelyConnection(_Connection):
    """A connection that reads from a full disk: it does without the file that WAL mode shares.

    Others have to wait while it is open. Writing fails at once, so that this is not for long.
    """

    pragmas = ("locking_mode=EXCLUSIVE", *_Connection.pragmas)  # before the file is looked at


def _heartbeat_options() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        callback = RetryHeartbeatStaleTrialCallback()
    return {
        "heartbeat_interval": _HEARTBEAT_INTERVAL_S,
        "grace_period": _GRACE_PERIOD_S,
        "heartbeat_stale_trial_callback": callback,
    }


def _prepare_sqlite(path: Path, *, create: bool) -> bool:
    """Check that the file can be used and put it in WAL mode, which it then keeps.

    Returns:
        False if the disk is full, so that there is no space for what WAL mode shares.
    """
    if not create:
        _check_exists(path)
    elif not (_is_there(path.parent) and path.parent.is_dir()):
        raise StorageError(f"The folder {path.parent} of database {path} does not exist.")
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        if fault_of(error, path=str(path)) is Fault.FULL:
            if not _is_filled(path):
                raise DiskFullError(
                    f"The disk of {path} is full: make room, or put the database elsewhere."
                ) from error
            return False
        raise StorageError(
            f"Cannot open {path} ({error}): is it a writable SQLite file in a writable folder?"
        ) from error
    return True


def _is_filled(path: Path) -> bool:
    return _is_there(path) and path.stat().st_size > 0


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

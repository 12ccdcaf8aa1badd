"""What went wrong in a database: it is away for a while, its disk is full, or it said no.

The drivers say it in their own ways: PostgreSQL by SQLSTATE, MySQL by numbers, SQLite and files by
their codes, gRPC by status. Optuna hides all of them behind "invalid data in the commit".
"""

from collections.abc import Iterator
import enum
import errno
import shutil
import sqlite3
from typing import Any
from typing import Final

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.exc import SQLAlchemyError


__all__ = ["cause_of", "Fault", "fault_of", "NO_SPACE"]


class Fault(enum.Enum):
    """What a failed call means.

    AWAY: the connection is lost or not to be had; what was asked for may have been done.
    BUSY: somebody else was in the way; nothing was done, and it can be tried again.
    FULL: there is no space left.
    REFUSED: the database answers, and says no.
    """

    AWAY = enum.auto()
    BUSY = enum.auto()
    FULL = enum.auto()
    REFUSED = enum.auto()


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PG_AWAY: Final = ("08", "57P01", "57P02", "57P03", "57P05", "53300", "25P03")
_PG_BUSY: Final = ("40", "55P03")
_PG_FULL: Final = ("53100",)
# https://mariadb.com/docs/server/reference/error-codes; those above 2000 are the client's
_MYSQL_AWAY: Final = frozenset(
    {1040, 1042, 1043, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1927}
    | {2002, 2003, 2006, 2013, 2014, 2055}
)
_MYSQL_BUSY: Final = frozenset({1020, 1205, 1213})
_MYSQL_FULL: Final = frozenset({1021, 1114})
_SQLITE_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# What SQLite may say where the disk is full as well: it cannot make or extend a file beside.
_SQLITE_MAYBE_FULL: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_SERVER: Final = frozenset(
    {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH}
)
_LITTLE_SPACE_BYTES: Final = 64 * 1024  # less than SQLite's -shm file and a page of its log
_PRIMARY_CODE: Final = 0xFF  # SQLite's extended codes have more bits


def fault_of(error: BaseException, *, path: str | None = None) -> Fault | None:
    """Say what an error of a storage means; None if it is none of the database.

    Args:
        error: What a storage raised.
        path: The SQLite file, whose disk is looked at where SQLite leaves it open.
    """
    for each in _causes(error):
        if isinstance(each, sqlite3.Error):
            return _of_sqlite(each, path)
        if isinstance(each, DBAPIError) and each.connection_invalidated:
            # a full disk, too, may end a connection
            return Fault.FULL if _of_server(each.orig) == Fault.FULL else Fault.AWAY
        if isinstance(each, OSError):
            return _of_file(each)
        found = _of_server(each)
        if found is not None:
            return found
    is_of_database = isinstance(error, SQLAlchemyError | StorageInternalError)
    return Fault.REFUSED if is_of_database else _of_grpc(error)


def cause_of(error: BaseException) -> str:
    """Return the first line of what the driver said, in place of what Optuna made of it."""
    causes = list(_causes(error))
    for each in causes:
        details = getattr(each, "details", None)
        if _grpc_code(each) is not None and callable(details):
            return _first_line(str(details() or _grpc_code(each)))
    inner = next((c for c in causes if isinstance(c, DBAPIError) and c.orig is not None), None)
    told = inner.orig if inner is not None else causes[-1]
    args: tuple[Any, ...] = getattr(told, "args", ())
    if len(args) > 1 and isinstance(args[0], int):  # MySQL's (number, text)
        return _first_line(f"{args[1]} ({args[0]})")
    return _first_line(str(told).strip() or type(told).__name__)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else "no reason given"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from; for SQLAlchemy's, the driver's own too."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        if isinstance(each, DBAPIError) and isinstance(each.orig, BaseException):
            yield each.orig
            return
        # a second query on a lost connection hides why the first one failed
        hides = isinstance(each, PendingRollbackError)
        each = each.__cause__ or (each.__context__ if hides else None)


def _of_sqlite(error: sqlite3.Error, path: str | None) -> Fault:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return Fault.FULL
    if code in _SQLITE_BUSY:
        return Fault.BUSY
    if code in _SQLITE_MAYBE_FULL and path is not None:
        try:
            free = shutil.disk_usage(path.rpartition("/")[0] or ".").free
        except OSError:
            return Fault.REFUSED
        return Fault.FULL if free < _LITTLE_SPACE_BYTES else Fault.REFUSED
    return Fault.REFUSED


def _of_file(error: OSError) -> Fault | None:
    if error.errno in NO_SPACE:
        return Fault.FULL
    if error.errno in _NO_SERVER or isinstance(error, ConnectionError):
        return Fault.AWAY
    return Fault.REFUSED if error.errno is not None else None


def _of_server(error: Any) -> Fault | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        kinds = ((_PG_AWAY, Fault.AWAY), (_PG_BUSY, Fault.BUSY), (_PG_FULL, Fault.FULL))
        return next((kind for codes, kind in kinds if state.startswith(codes)), Fault.REFUSED)
    args = getattr(error, "args", ())
    if type(error).__module__.startswith(("pymysql", "MySQLdb")) and args:
        return _of_mysql(args)
    if type(error).__module__.startswith("psycopg") and "OperationalError" in type(error).__name__:
        return Fault.AWAY  # without a state: no connection to tell it by
    return None


def _of_mysql(args: tuple[Any, ...]) -> Fault:
    number = args[0]
    if number in _MYSQL_FULL or "No space left on device" in str(args[1:]):
        return Fault.FULL
    if number in _MYSQL_BUSY:
        return Fault.BUSY
    # (0, "") is what PyMySQL says on a connection that is closed
    return Fault.AWAY if number in _MYSQL_AWAY or number == 0 else Fault.REFUSED


def _grpc_code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    if not type(error).__module__.startswith("grpc") or not callable(code):
        return None
    return str(getattr(code(), "name", code()))


def _of_grpc(error: BaseException) -> Fault | None:
    code = _grpc_code(error)
    if code is None:
        return None
    return Fault.AWAY if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED") else Fault.REFUSED

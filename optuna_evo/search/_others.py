"""Storages that are no relational database: Optuna's journal file and its gRPC proxy.

    journal://studies.log         a file in the working folder
    journal:///srv/studies.log    a file elsewhere
    grpc://host:13000             Optuna's proxy before a database (`run_grpc_proxy_server`)

A journal is a file that is only added to. It is made for folders on a network (NFS) where SQLite's
locks do not work; every process reads the whole file when it opens it. A proxy spares a database
thousands of connections; it has no log-in, so it belongs into a network that only friends are in,
and before a journal it does not work (Optuna's issue 6084).

Neither has a heartbeat. Beats of our own take its place (`_beats`): a worker that falls silent is
found by those who have been looking on for the grace period.
"""

from pathlib import Path
from typing import Any
import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.storages import JournalStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend

from optuna_evo.errors import StorageError
from optuna_evo.names import printable
from optuna_evo.names import shown_url
from optuna_evo.search._resilient import ResilientStorage


__all__ = ["is_other", "open_other", "path_of_journal"]

_JOURNAL, _GRPC = "journal://", "grpc://"
_BEAT_INTERVAL_S = 30
_GRACE_PERIOD_S = 120
_CONNECT_TIMEOUT_S = 10
_MOST_PORT = 65535


def is_other(url: str) -> bool:
    """Tell whether a URL is that of a journal or of a proxy."""
    return url.startswith((_JOURNAL, _GRPC))


def path_of_journal(url: str) -> Path | None:
    """Return the file of a journal; None if the URL is none of a journal."""
    return Path(url.removeprefix(_JOURNAL)) if url.startswith(_JOURNAL) else None


def open_other(url: str, *, create: bool, read_only: bool, patience_s: float) -> ResilientStorage:
    """Open a journal or a proxy; as `search.open_storage`."""
    path = path_of_journal(url)
    if path is not None and "@" in "".join(path.parts[:1]):
        raise StorageError(
            f"A journal is a file and has no user or server: write journal://FILE, got "
            f"{shown_url(url)}."
        )
    storage = _open_proxy(url) if path is None else _open_journal(path, create=create)
    beats: dict[str, Any] = {}
    if not read_only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            on_stale = RetryHeartbeatStaleTrialCallback()
        beats = {"beat_interval_s": _BEAT_INTERVAL_S, "grace_period_s": _GRACE_PERIOD_S}
        beats["on_stale"] = on_stale
    return ResilientStorage(storage, url=url, patience_s=patience_s, **beats)


def _open_journal(path: Path, *, create: bool) -> BaseStorage:
    shown = printable(str(path))[:200]
    if not path.name or "?" in str(path):
        raise StorageError(f"A journal is named journal://FILE, without options; got {shown!r}.")
    try:
        if not create and not path.exists():
            raise StorageError(f"There is no journal {shown}: make it by creating a study in it.")
        if not path.parent.is_dir():
            raise StorageError(f"The folder {path.parent} of journal {shown} does not exist.")
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise StorageError(f"Cannot open journal {shown}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise StorageError(
            f"{shown} is no journal of Optuna, or is damaged: {error!r:.80}."
        ) from error


def _open_proxy(url: str) -> BaseStorage:
    host, colon, port = url.removeprefix(_GRPC).rstrip("/").rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_PORT
    if not (colon and host and is_port) or "@" in host or "/" in host:
        raise StorageError(f"A proxy is named grpc://HOST:PORT; got {shown_url(url)!r}.")
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        raise StorageError("grpc:// needs grpcio: pip install 'optuna-evo[grpc]'.") from error
    from optuna.storages import GrpcStorageProxy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=int(port))
    try:
        proxy.wait_server_ready(timeout=_CONNECT_TIMEOUT_S)
    except ConnectionError as error:
        raise StorageError(
            f"Nobody answers at {shown_url(url)}: start a proxy there by "
            "optuna.storages.run_grpc_proxy_server(storage, host=..., port=...)."
        ) from error
    return proxy

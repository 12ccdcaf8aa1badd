"""What a user's own specs named, kept in the user's own folder: asked once, not at every run.

Who makes a study from a file, or runs it from one, names its parts himself. That is written down
here, study by study, so that `study run NAME` needs no option the next day. It is not in the
database, which others can write: another name in the stored spec is another question.
"""

from collections.abc import Iterable
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from optuna_evo.files import own_folder
from optuna_evo.files import write_text


__all__ = ["forget", "remember", "remembered"]


def remember(database: str, study: str, names: Iterable[str]) -> None:
    """Keep the names, "module:attribute", that the user gave for a study.

    A home that cannot be written is no error: then the next run asks.

    Args:
        database: Whole address of the database; only a digest of it is kept.
        study: Name of the study.
        names: What the spec that the user gave names.
    """
    known = remembered(database, study)
    names = sorted({*known, *map(str, names)})
    if not names or tuple(names) == known:
        return
    with contextlib.suppress(OSError, RuntimeError):
        path = _path(database, study)
        own_folder(path.parent.parent)
        own_folder(path.parent)
        write_text(path, json.dumps({"study": study, "names": names}), private=True)


def remembered(database: str, study: str) -> tuple[str, ...]:
    """Return the names that the user gave for a study; none if the file is not his or damaged."""
    try:
        path = _path(database, study)
        if not _is_mine(path):
            return ()
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return tuple(sorted(name for name in data["names"] if isinstance(name, str)))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, RecursionError):
        return ()


def forget(database: str, study: str) -> None:
    """Forget a study that is deleted."""
    with contextlib.suppress(OSError, RuntimeError):
        _path(database, study).unlink()


def _path(database: str, study: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    folder = Path(state) if state else Path.home() / ".local" / "state"
    text = f"{database}\0{study}".encode(errors="surrogatepass")
    return folder / "optuna_evo" / "allowed" / f"{hashlib.sha256(text).hexdigest()[:32]}.json"


def _is_mine(path: Path) -> bool:
    """Tell whether nobody else can have written a file."""
    if os.name != "posix":
        return True
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022

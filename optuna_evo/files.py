"""Files, written whole or not at all.

A file is written beside its place, flushed to the disk and renamed: a full disk, a killed process
or a loss of power leaves the old file or the new one. It follows the umask, but nobody else may
write it: what lies in a folder for all is still the user's.
"""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import secrets
import shutil
import stat
from typing import BinaryIO
from typing import Final


__all__ = [
    "is_only_mine",
    "open_whole",
    "own_folder",
    "PART",
    "remove_parts",
    "whole_folder",
    "write_text",
]

PART: Final = ".part"
"""What the name of a file that is being written ends with."""
_FILE_MODE: Final = 0o664  # less what the umask takes
_OWN_MODE: Final = 0o600
_MOST_NAME_BYTES: Final = 200  # of the 255 that a name may have; the rest is for our ending


@contextlib.contextmanager
def open_whole(path: str | Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Open a file to write; it takes its place when the block ends without an error.

    Args:
        path: The file. Where it is a link, what that points to is written; what is no plain
            file, such as /dev/stdout, is written directly. A file that is there keeps its
            permissions.
        private: Whether only the user may read a new file.

    Raises:
        OSError: If it cannot be written; then nothing is left, and an old file is as it was.

    Example:
        >>> with open_whole("genome.json") as file:
        ...     file.write(b"{}")
        2
    """
    place = Path(path)
    place = Path(os.path.realpath(place)) if place.is_symlink() else place
    if place.exists() and not place.is_file():
        with place.open("wb") as file:
            yield file
        return
    part = _part_of(place)
    mode = _OWN_MODE if private else _FILE_MODE
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(part, flags, mode)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            with contextlib.suppress(OSError):  # there is none yet
                os.chmod(part, stat.S_IMODE(place.stat().st_mode) & ~stat.S_IWOTH)
            os.fsync(file.fileno())
        os.replace(part, place)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_text(path: str | Path, text: str, *, private: bool = False) -> None:
    """Write a text, in UTF-8; see `open_whole`."""
    with open_whole(path, private=private) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that takes its place, with all that is written into it, when the block ends.

    Args:
        path: The folder; it must be empty or not there.

    Raises:
        OSError: If it cannot be written; then nothing is left.
    """
    place = Path(os.path.realpath(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(place)
    part.mkdir()
    try:
        yield part
        for written in (part, *part.rglob("*")):  # by libraries, which know the umask only
            os.chmod(written, stat.S_IMODE(written.stat().st_mode) & ~stat.S_IWOTH)
        if place.exists():
            place.rmdir()
        os.rename(part, place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def is_only_mine(path: Path) -> bool:
    """Tell whether nobody but the user, root and his group can write a file or folder."""
    if os.name != "posix":
        return True
    status = path.stat()
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & stat.S_IWOTH


def own_folder(path: Path) -> Path:
    """Make a folder that only the user can enter, such as a cache of programs, unless it is there.

    Raises:
        OSError: If it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def remove_parts(path: Path) -> None:
    """Remove what killed processes have written of a file."""
    start = _start_of(path)
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            ours = entry.name.startswith(start) and entry.name.endswith(PART)
            if ours or entry.name == path.name + PART:  # of an earlier version
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _start_of(path: Path) -> str:
    name = path.name.encode(errors="surrogateescape")[:_MOST_NAME_BYTES]
    return f".{name.decode(errors='ignore')}."


def _part_of(path: Path) -> Path:
    """Return a new name beside a file; two processes that write the same file have two."""
    return path.with_name(f"{_start_of(path)}{secrets.token_hex(6)}{PART}")

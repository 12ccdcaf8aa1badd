"""Where checkpoints lie: in one of Optuna's artifact stores, one for each trial, by its number.

They are written and removed directly, not by `optuna.artifacts.upload_artifact`: that would leave
a dead link on every trial whose checkpoint was removed, as most are.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
from pathlib import Path
import re
import shutil
import tempfile
from typing import Any
from typing import BinaryIO
from typing import TYPE_CHECKING
import zlib

from optuna.artifacts import Boto3ArtifactStore
from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound
import sqlalchemy

from optuna_evo.errors import CheckpointError
from optuna_evo.errors import DiskFullError
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.files import open_whole
from optuna_evo.files import remove_parts
from optuna_evo.search._faults import NO_SPACE
from optuna_evo.search._others import path_of_journal


if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore
    from optuna.storages import BaseStorage

    from optuna_evo.trainers import Checkpoint

__all__ = ["AtomicFileSystemStore", "beside", "CheckpointStore", "open_checkpoints", "open_s3"]

_S3 = "s3://"
_ENDING = ".checkpoints"
_MOST_NAME = 240  # characters of a study's name; a folder's name has 255 at most


def open_checkpoints(
    study: str, storage: "BaseStorage", location: str | None
) -> "CheckpointStore":
    """Open the checkpoints of a study.

    Args:
        study: Its name.
        storage: Its database.
        location: A folder, or "s3://bucket/prefix". None: a folder beside the SQLite file.

    Raises:
        UsageError: If no location is named and the database is no SQLite file.
        StorageError: If the location cannot be written.
    """
    place = location or beside(storage, _ENDING)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", study)[:_MOST_NAME]
    key = f"{plain}-{zlib.crc32(study.encode()):08x}"
    if place.startswith(_S3):
        bucket, _, prefix = place.removeprefix(_S3).partition("/")
        name = "/".join(filter(None, (prefix.strip("/"), key)))
        return CheckpointStore(open_s3(bucket), name, place=f"{_S3}{bucket}/{name}")
    folder = Path(place).expanduser()
    try:
        (folder / key).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write checkpoints to {folder}: {error.strerror}.") from error
    return CheckpointStore(AtomicFileSystemStore(folder), key, place=str(folder.resolve() / key))


class CheckpointStore:
    """The checkpoints of one study.

    Args:
        store: Any of Optuna's artifact stores.
        prefix: What the names of this study's checkpoints begin with.
        place: Where they lie, for users; equal for equal places.

    Example:
        >>> store = CheckpointStore(AtomicFileSystemStore("checkpoints"), "my-study")
        >>> store.save(12, checkpoint)
        >>> store.load(12).step
    """

    def __init__(self, store: "ArtifactStore", prefix: str, *, place: str = "") -> None:
        self._store = store
        self._prefix = prefix
        self.place = place

    def save(self, number: int, checkpoint: "Checkpoint") -> None:
        """Write the checkpoint of a trial, whole or not at all.

        Raises:
            DiskFullError: If there is no space for it.
            StorageError: If it cannot be written.
        """
        from optuna_evo.trainers import write_checkpoint

        # nameless: a killed process leaves nothing
        with _reached(self.place), tempfile.TemporaryFile() as file:
            write_checkpoint(checkpoint, file)
            file.seek(0)
            with _reached(self.place, always=True):
                self._store.write(self._name(number), file)

    def load(self, number: int) -> "Checkpoint":
        """Read the checkpoint of a trial.

        Raises:
            CheckpointError: If there is none, or it is damaged.
            StorageError: If it cannot be read, whatever it holds.
        """
        from optuna_evo.trainers import read_checkpoint

        with _reached(self.place), tempfile.TemporaryFile() as file:
            try:
                with _reached(self.place, always=True):
                    reader = self._store.open_reader(self._name(number))
                    with contextlib.closing(reader):
                        # what comes over a network cannot be searched
                        shutil.copyfileobj(reader, file)
            except ArtifactNotFound as error:
                raise CheckpointError(f"The checkpoint of trial {number} is missing.") from error
            file.seek(0)
            return read_checkpoint(file)

    def copy_to(self, other: "CheckpointStore", n_trials: int) -> int:
        """Copy the checkpoints of all trials below a number and return how many there were."""
        n_copied = 0
        for number in range(n_trials):
            with contextlib.suppress(ArtifactNotFound):
                with contextlib.closing(self._store.open_reader(self._name(number))) as reader:
                    with _reached(other.place, always=True):
                        other._store.write(other._name(number), reader)
                n_copied += 1
        return n_copied

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of trials; those that are not there are no error.

        Raises:
            StorageError: If one cannot be removed.
        """
        for number in numbers:
            with contextlib.suppress(ArtifactNotFound), _reached(self.place, always=True):
                self._store.remove(self._name(number))

    def clear(self, n_trials: int) -> None:
        """Remove the checkpoints of all trials below a number, and their folder."""
        self.remove(range(n_trials))
        if isinstance(self._store, AtomicFileSystemStore):
            self._store.remove_folder(self._prefix)

    def _name(self, number: int) -> str:
        return f"{self._prefix}/{number}.pt"


class AtomicFileSystemStore(FileSystemArtifactStore):
    """A folder in which a file is complete and on the disk, or not there."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Write to a file beside, flush it to the disk and rename it."""
        path = Path(self._get_filepath(artifact_id))  # which is in our folder, or refused
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_whole(path) as file:
            shutil.copyfileobj(content_body, file)

    def remove(self, artifact_id: str) -> None:
        """Remove a file, and what a killed process has written of it."""
        remove_parts(Path(self._get_filepath(artifact_id)))
        super().remove(artifact_id)

    def remove_folder(self, name: str) -> None:
        """Remove a folder if it is empty."""
        with contextlib.suppress(OSError):
            Path(self._get_filepath(name)).rmdir()


@contextlib.contextmanager
def _reached(place: str, *, always: bool = False) -> Iterator[None]:
    """Say that a store fails: that is never the fault of a trial.

    Args:
        place: Where it is.
        always: Whether all errors are its own; if not, those of files alone are.
    """
    try:
        yield
    except (ArtifactNotFound, OptunaEvoError, MemoryError):
        raise
    except Exception as error:
        cause = _of_files(error)
        if cause is None and not always:
            raise
        if cause is not None and cause.errno in NO_SPACE:
            raise DiskFullError(
                f"No space left for checkpoints ({place or cause.strerror}): make room; what was "
                "written before is safe, and the same command goes on."
            ) from error
        reason = (str(cause or error).strip() or type(error).__name__).splitlines()[0]
        raise StorageError(
            f"Checkpoints in {place} cannot be reached ({reason[:300]}); what was written before "
            "is safe, and the same command goes on."
        ) from error


def _of_files(error: BaseException | None) -> OSError | None:
    """Return the error of a file behind an error: torch raises its own in its place."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def open_s3(bucket: str) -> Boto3ArtifactStore:
    """Open a bucket.

    Raises:
        UsageError: If it has no name.
        StorageError: If boto3 is not there.
    """
    if not bucket:
        raise UsageError('A place in S3 is named "s3://bucket/prefix"; the bucket is missing.')
    try:
        return Boto3ArtifactStore(bucket)
    except ImportError as error:
        raise StorageError("Files in S3 need boto3: pip install 'optuna-evo[s3]'.") from error


def beside(storage: "BaseStorage", ending: str) -> str:
    """Return a folder beside the file of a database.

    Raises:
        UsageError: If the database is no file.
    """
    backend: Any = getattr(storage, "_backend", storage)  # Optuna puts a cache before it
    text = str(getattr(storage, "url", None) or getattr(backend, "url", "sqlite://"))
    if (journal := path_of_journal(text)) is not None:
        return str(journal.with_suffix(ending))
    url = sqlalchemy.make_url(text)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise UsageError(
            "Say where checkpoints go, by --checkpoints, OPTUNA_EVO_CHECKPOINTS or "
            "lineage.checkpoints: a folder that all workers reach, or s3://bucket/prefix."
        )
    return str(Path(str(url.database)).with_suffix(ending))

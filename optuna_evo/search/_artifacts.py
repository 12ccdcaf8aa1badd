"""Where files of trials and studies lie: what users upload in the dashboard, or by Optuna."""

from pathlib import Path
from typing import BinaryIO
from typing import TYPE_CHECKING

from optuna.artifacts.exceptions import ArtifactNotFound

from optuna_evo.errors import UsageError
from optuna_evo.search._checkpoints import AtomicFileSystemStore
from optuna_evo.search._checkpoints import beside
from optuna_evo.search._checkpoints import open_s3


if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore
    from optuna.storages import BaseStorage

__all__ = ["open_artifacts"]

_S3 = "s3://"


def open_artifacts(storage: "BaseStorage", location: str | None) -> "ArtifactStore":
    """Open the store of a database's files, for `optuna.artifacts.upload_artifact` and to look at.

    Args:
        storage: The database.
        location: A folder, or "s3://bucket". None: a folder beside an SQLite file or a journal,
            "studies.artifacts" for studies.db; for a server none, and then nothing can be written.

    Raises:
        StorageError: If the location needs boto3, which is not there.
        UsageError: If it names no bucket.
    """
    if location is not None and location.startswith(_S3):
        return open_s3(location.removeprefix(_S3).strip("/"))
    if location is not None:
        return AtomicFileSystemStore(Path(location).expanduser())
    try:
        return AtomicFileSystemStore(Path(beside(storage, ".artifacts")))
    except UsageError:
        return _NoStore()


class _NoStore:
    """Holds nothing; the dashboard shows files only where it has a store."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        raise ArtifactNotFound(f"There is no file {artifact_id}: say where files lie.")

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        raise UsageError("Say where files are to lie: optuna_evo dashboard --artifacts FOLDER.")

    def remove(self, artifact_id: str) -> None:
        raise ArtifactNotFound(f"There is no file {artifact_id}: say where files lie.")

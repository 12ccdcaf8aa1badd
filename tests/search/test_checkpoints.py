"""Where checkpoints lie: whole or not at all, in a folder or in S3."""

from collections.abc import Iterator
import contextlib
import io
from pathlib import Path

import optuna
import pytest
import torch

from optuna_evo.errors import CheckpointError
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.search import AtomicFileSystemStore
from optuna_evo.search import CheckpointStore
from optuna_evo.search import open_checkpoints
from optuna_evo.search import open_storage
from optuna_evo.trainers import Checkpoint


def checkpoint(step: int = 7) -> Checkpoint:
    weights = {"weight": torch.arange(3.0) + step}
    return Checkpoint(
        task="t", seed=0, step=step, position=9, model=weights, optimizer={"state": {}}, scaler={}
    )


def round_trip(store: CheckpointStore) -> None:
    store.save(3, checkpoint(1))
    store.save(3, checkpoint(2))
    again = store.load(3)
    assert (again.step, again.position) == (2, 9)
    assert torch.equal(again.model["weight"], checkpoint(2).model["weight"])
    store.remove([3, 4])
    with pytest.raises(CheckpointError, match="The checkpoint of trial 3 is missing."):
        store.load(3)


def test_checkpoints_lie_in_a_folder_beside_the_database(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    study = optuna.create_study(storage=storage, study_name="tuning/gpt 2")
    store = open_checkpoints(study.study_name, study._storage, None)
    store.save(3, checkpoint())
    (path,) = tmp_path.glob("a.checkpoints/tuning_gpt_2-*/3.pt")
    assert torch.load(path, weights_only=True)["step"] == 7
    round_trip(store)
    other = open_checkpoints("tuning_gpt_2", study._storage, None)
    other.save(3, checkpoint())
    assert len(list(tmp_path.glob("a.checkpoints/*"))) == 2


class BrokenPipe(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError("it broke in the middle")
        return super().read(1)


def test_a_broken_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    store = AtomicFileSystemStore(tmp_path)
    store.write("3.pt", io.BytesIO(b"old"))
    with pytest.raises(OSError, match="in the middle"):
        store.write("3.pt", BrokenPipe(b"new and longer"))
    with contextlib.closing(store.open_reader("3.pt")) as reader:
        assert reader.read() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
    for name in (".3.pt.0123.part", "3.pt.part"):
        (tmp_path / name).write_bytes(b"what a killed process leaves")
    store.remove("3.pt")
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = optuna.storages.InMemoryStorage()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Cannot write checkpoints to .*file: Not a directory"):
        open_checkpoints("mine", storage, str(tmp_path / "file"))
    with pytest.raises(UsageError, match="Say where checkpoints go, by --checkpoints"):
        open_checkpoints("mine", storage, None)
    with pytest.raises(UsageError, match="the bucket is missing"):
        open_checkpoints("mine", storage, "s3://")

    def missing(*_: object) -> None:
        raise ImportError("No module named 'boto3'")

    monkeypatch.setattr("optuna_evo.search._checkpoints.Boto3ArtifactStore", missing)
    with pytest.raises(StorageError, match=r"need boto3: pip install 'optuna-evo\[s3\]'"):
        open_checkpoints("mine", storage, "s3://bucket")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    yield
    running.stop()


@pytest.mark.slow
def test_checkpoints_lie_in_s3(s3: None) -> None:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    store = open_checkpoints("mine", optuna.storages.InMemoryStorage(), "s3://bucket/some/prefix")
    store.save(5, checkpoint())
    (entry,) = client.list_objects_v2(Bucket="bucket")["Contents"]
    assert entry["Key"].startswith("some/prefix/mine-") and entry["Key"].endswith("/5.pt")
    round_trip(store)

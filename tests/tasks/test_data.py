"""Where data come from: folders, packed and unpacked files, the cache, and errors that help."""

from collections.abc import Iterator
import functools
import gzip
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from optuna_evo import tasks
from optuna_evo.errors import DataError
from optuna_evo.tasks._files import fetch


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let downloads fail for real, and caches be empty."""
    import torchvision

    monkeypatch.delenv("OPTUNA_EVO_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    nowhere = [(tmp_path / "nowhere").as_uri() + "/"]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", nowhere)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", nowhere)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the folder `mirror` over HTTP and return its address."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4) for n in array.shape)
    content = head + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def _write_test_files(folder: Path, ending: str) -> None:
    pixels = np.arange(4 * 28 * 28, dtype=np.uint8).reshape(4, 28, 28)
    _write_idx(folder / f"t10k-images-idx3-ubyte{ending}", pixels)
    _write_idx(folder / f"t10k-labels-idx1-ubyte{ending}", np.array([3, 1, 4, 1], dtype=np.uint8))


@pytest.mark.parametrize("place", ["vision/MNIST/raw", "MNIST/raw"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_packed_or_not(tmp_path: Path, place: str, ending: str) -> None:
    _write_test_files(tmp_path / place, ending)
    split = tasks.get("mnist").load_test(tmp_path)
    assert split.inputs.shape == (4, 1, 28, 28) and split.targets.tolist() == [3, 1, 4, 1]
    assert split.inputs[0, 0, 0, 1].item() == pytest.approx((1 / 255 - 0.1307) / 0.3081)


def test_the_data_folder_is_only_read(tmp_path: Path) -> None:
    _write_test_files(tmp_path / "MNIST/raw", ".gz")
    before = sorted(tmp_path.rglob("*"))
    tasks.get("mnist").load_test(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_environment_names_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_test_files(tmp_path / "MNIST/raw", ".gz")
    monkeypatch.setenv("OPTUNA_EVO_DATA", str(tmp_path))
    assert len(tasks.get("mnist").load_test(None)) == 4


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    _write_test_files(tmp_path / "MNIST/raw", ".gz")
    images = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-30])
    with pytest.raises(DataError, match="Cannot read t10k-images-.* in .*download it again"):
        tasks.get("mnist").load_test(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("load", ["load", "load_test"])
def test_missing_data_without_network_is_one_helpful_line(
    name: str, load: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        getattr(tasks.get(name), load)(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message and "--data-dir" in message and "MNIST/raw" in message


def test_a_data_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data folder .*absent does not exist"):
        tasks.get("mnist").load(tmp_path / "absent")


def test_missing_cifar_10_without_network_is_one_helpful_line(tmp_path: Path) -> None:
    code = """
from optuna_evo import tasks
from optuna_evo.errors import DataError
try:
    tasks.get("cifar10").load(None)
except DataError as error:
    print(error)
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.count("\n") == 1
    assert "No data for CIFAR-10: no data folder is named" in result.stdout
    assert "cifar10/train.parquet" in result.stdout and "--data-dir" in result.stdout


def test_cifar_10_is_read_from_torchvisions_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    batch = {"data": np.full((3, 3072), 255, dtype=np.uint8), "labels": [7, 0, 2]}
    (folder / "test_batch").write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": []}))
    # torchvision compares checksums, which a stand-in of three images cannot have
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", [])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", [["test_batch", None]])
    meta = torchvision.datasets.CIFAR10.meta | {"md5": None}
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", meta)
    split = tasks.get("cifar10").load_test(tmp_path)
    assert split.inputs.shape == (3, 3, 32, 32) and split.targets.tolist() == [7, 0, 2]
    assert split.inputs[0, 0, 0, 0].item() == pytest.approx((1 - 0.4914) / 0.2470)


@pytest.mark.parametrize("place", ["cifar10/test.parquet", "cifar-10-batches-py/test_batch"])
def test_damaged_cifar_10_files_are_named(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir()
    (tmp_path / place).write_bytes(b"not what it should be")
    with pytest.raises(DataError, match=f"Cannot read {(tmp_path / place).parent}") as caught:
        tasks.get("cifar10").load_test(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_nothing_behind(tmp_path: Path) -> None:
    def download(folder: Path) -> None:
        (folder / "set").mkdir()
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError):
        fetch("set", download)
    assert list((tmp_path / "cache/optuna_evo").iterdir()) == []


def test_a_download_is_done_once_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def download(folder: Path) -> None:
        print("chatter")
        calls.append(folder)
        (folder / "set").mkdir()
        (folder / "set" / "file").write_text("data")

    folders = [fetch("set", download), fetch("set", download)]
    assert folders[0] == folders[1] and (folders[0] / "file").read_text() == "data"
    assert len(calls) == 1 and capsys.readouterr().out == ""


def test_downloads_come_through_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    import torchvision

    _write_test_files(tmp_path / "mirror", ".gz")
    for name, shape in (("images-idx3", (6, 28, 28)), ("labels-idx1", (6,))):
        _write_idx(tmp_path / f"mirror/train-{name}-ubyte.gz", np.zeros(shape, dtype=np.uint8))
    files = [(path.name, None) for path in sorted((tmp_path / "mirror").iterdir())]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", files)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror])
    assert len(tasks.get("mnist").load_test(None)) == 4


def test_the_text_of_the_language_task_needs_no_files(tmp_path: Path) -> None:
    splits = tasks.get("char_lm").load(tmp_path)
    assert "standard library" in splits.source
    assert torch.equal(splits.train.inputs[0, 1:], splits.train.targets[0, :-1])


def test_a_text_in_the_data_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "text/tinyshakespeare").mkdir(parents=True)
    text = "".join(chr(ord("a") + i * i % 26) for i in range(4_000))
    (tmp_path / "text/tinyshakespeare/input.txt").write_text(text)
    splits = tasks.get("char_lm").load(tmp_path)
    assert "tiny Shakespeare" in splits.source
    assert splits.train.inputs.shape == (56, 64) and splits.valid.inputs.shape == (3, 64)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mnist", (15_000, 5_000, 10_000)),
        ("fashion_mnist", (15_000, 5_000, 10_000)),
        ("cifar10", (12_500, 2_500, 10_000)),
        ("char_lm", (15_685, 871, 871)),
    ],
)
def test_the_real_files_have_the_sizes_that_are_documented(
    name: str, sizes: tuple[int, ...], data_folder: Path
) -> None:
    task = tasks.get(name)
    splits = task.load(data_folder)
    assert (len(splits.train), len(splits.valid), len(task.load_test(data_folder))) == sizes
    assert str(data_folder) in splits.source


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_real_images_are_normalised_and_balanced(name: str, data_folder: Path) -> None:
    train = tasks.get(name).load(data_folder).train
    assert abs(train.inputs.mean()) < 0.01 and abs(train.inputs.std() - 1) < 0.01
    assert train.targets.bincount(minlength=10).min() > 0.08 * len(train)


def test_light_augmentation_shifts_images_and_is_off_where_the_published_code_has_none() -> None:
    assert tasks.get("mnist").augment is None and tasks.get("cifar10").augment is not None
    assert tasks.get("cifar10", augment=False).augment is None
    for name in ("mnist", "fashion_mnist"):
        augment = tasks.get(name, augment=True).augment
        assert augment is not None
        images = torch.zeros(50, 1, 28, 28)
        images[:, :, 14, 10] = 1.0
        rows, columns = augment(images, torch.Generator().manual_seed(0))[:, 0].nonzero()[:, 1:].T
        assert {*rows.tolist()} == {12, 13, 14, 15, 16}
        flipped = {17 + k for k in range(-2, 3)} if name == "fashion_mnist" else set()
        assert {*columns.tolist()} == {8, 9, 10, 11, 12} | flipped


def test_all_of_cifar_10_gives_as_many_training_rows_as_was_published() -> None:
    from optuna_evo.tasks._cifar10 import sizes_of

    assert sizes_of(50_000) == (15_000, 5_000) and sizes_of(15_000) == (12_500, 2_500)

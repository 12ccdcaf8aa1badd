"""MNIST and Fashion-MNIST with a small CNN.

15,000 training and 5,000 validation images, drawn from the 60,000 of the training files; test: the
10,000 of the official test files. The CNN (824,458 weights) is the one of arXiv:2512.11853.

Data: LeCun, Cortes, Burges 1998; Xiao, Rasul, Vollgraf 2017 (arXiv:1708.07747).
"""

from collections.abc import Callable
import functools
import gzip
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import DataError
from optuna_evo.tasks._augment import crop_and_flip
from optuna_evo.tasks._augment import random_crop
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import fetch
from optuna_evo.tasks._files import find
from optuna_evo.tasks._files import missing
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["fashion_mnist", "load_mnist_test", "load_training_files", "mnist", "small_cnn"]

_SIZES = (15_000, 5_000)
# Mean and standard deviation of the pixels of the training files, in [0, 1].
_PIXELS = {"MNIST": (0.1307, 0.3081), "FashionMNIST": (0.2860, 0.3530)}
_UNSIGNED_BYTE = 8  # the idx format's code for it


def small_cnn(*, dropout: float = 0.3) -> nn.Module:
    """Return a CNN for images (b, 1, 28, 28) of 10 classes.

    ReLU is monotone, so pooling before it gives the same bits as after it, forward and backward,
    on a quarter of the values.

    Args:
        dropout: Probability to drop a unit of the hidden layer, in [0, 1].
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, 10),
    )


def load_training_files(data_set: str, data_dir: Path | None = None) -> tuple[Split, str]:
    """Return the 60,000 rows of the training files of a data set, and where they came from."""
    return _read(data_set, "train", data_dir)


def _load(data_set: str, data_dir: Path | None = None) -> Splits:
    whole, source = load_training_files(data_set, data_dir)
    train, valid = whole.parts(*_SIZES)
    return Splits(train, valid, source)


def _load_test(data_set: str, data_dir: Path | None = None) -> Split:
    return _read(data_set, "t10k", data_dir)[0]


def _read(data_set: str, part: str, data_dir: Path | None) -> tuple[Split, str]:
    folder = _folder(data_set, data_dir)
    pixels = _read_idx(folder, f"{part}-images-idx3-ubyte")
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte")
    mean, deviation = _PIXELS[data_set]
    images = pixels.unsqueeze(1).to(torch.float32).div_(255).sub_(mean).div_(deviation)
    return Split(images, labels.long()), f"{data_set} idx files in {folder}"


def _folder(data_set: str, data_dir: Path | None) -> Path:
    folder = data_folder(data_dir)
    places = [f"vision/{data_set}/raw", f"{data_set}/raw"]
    if found := find(folder, places):
        return found
    try:
        return fetch(data_set, functools.partial(_download, data_set)) / "raw"
    except Exception as error:  # whatever the download raises, the user sees one line
        raise missing(data_set, folder, places, error) from error


def _download(data_set: str, folder: Path) -> None:
    import torchvision

    getattr(torchvision.datasets, data_set)(str(folder), download=True)


def _read_idx(folder: Path, name: str) -> Tensor:
    """Read an idx file of unsigned bytes, packed (.gz) or not, as a uint8 tensor."""
    packed, plain = folder / f"{name}.gz", folder / name
    if not packed.exists() and not plain.exists():
        raise missing(name, folder, [packed.name, plain.name])
    try:
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
        # header: two zero bytes, the type's code, the number of dimensions, each size in 4 bytes
        zero, kind, n_dims = int.from_bytes(content[:2]), content[2], content[3]
        start = 4 + 4 * n_dims
        shape = np.frombuffer(content[4:start], dtype=">u4").astype(int).tolist()
        if zero != 0 or kind != _UNSIGNED_BYTE:
            raise ValueError(f"not an idx file of bytes: it starts with {content[:4]!r}")
        # a copy, since torch warns about tensors on read-only memory
        values = np.frombuffer(bytearray(content), dtype=np.uint8, offset=start).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError) as error:
        raise DataError(
            f"Cannot read {name} in {folder} ({error}): the file is damaged, download it again."
        ) from error
    return torch.from_numpy(values)


def mnist(*, augment: bool = False) -> Task:
    """Make the task; in a spec: `task = { augment = true }`.

    Args:
        augment: Whether training images are shifted by up to 2 pixels. The paper says "light
            augmentation", and the code behind its figures has none here.
    """
    return _task("mnist", "MNIST", functools.partial(random_crop, padding=2) if augment else None)


def fashion_mnist(*, augment: bool = False) -> Task:
    """Make the task.

    Args:
        augment: Whether training images are shifted by up to 2 pixels, and half of them flipped.
    """
    light = functools.partial(crop_and_flip, padding=2)
    return _task("fashion_mnist", "FashionMNIST", light if augment else None)


def load_mnist_test(data_dir: Path | None = None) -> Split:
    """Return the 10,000 rows of MNIST's test files."""
    return _load_test("MNIST", data_dir)


def _task(
    name: str, data_set: str, augment: Callable[[Tensor, torch.Generator], Tensor] | None
) -> Task:
    return Task(
        name=name,
        kind="classification",
        build_model=small_cnn,
        load=functools.partial(_load, data_set),
        load_test=functools.partial(_load_test, data_set),
        loss=cross_entropy,
        metric=accuracy,
        augment=augment,
        bfloat16=True,
    )

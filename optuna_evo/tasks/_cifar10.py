"""CIFAR-10 with a BatchNorm CNN (32-32-64-64, hidden layer 512), random crops and flips.

Training and validation images are drawn from the training files: 15,000 and 5,000 of the complete
50,000. Of fewer than 30,000 a sixth is for validation: a subset of 15,000 gives 12,500 and 2,500.
Test: the official 10,000.

Data: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from collections.abc import Iterable
from collections.abc import Mapping
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from optuna_evo.errors import DataError
from optuna_evo.tasks._augment import crop_and_flip
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import find
from optuna_evo.tasks._files import missing
from optuna_evo.tasks._files import one_line
from optuna_evo.tasks._files import rows_from_hub
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["cifar10"]

_N_TRAIN, _N_VALID = 15_000, 5_000
# Mean and standard deviation of the pixels of the 50,000 training images, in [0, 1].
_MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
_DEVIATION = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)
_HUB_NAME = "uoft-cs/cifar10"
_BATCHES = "cifar-10-batches-py"


def _batch_norm_cnn(*, dropout: float = 0.5, conv_dropout: float = 0.25) -> nn.Module:
    """Return the CNN.

    ReLU is monotone, so pooling before it gives the same bits as after it, on a quarter of the
    values.

    Args:
        dropout: Probability to drop a unit of the hidden layer, in [0, 1].
        conv_dropout: Probability to drop a value after each pair of convolutions, in [0, 1].
    """
    return nn.Sequential(
        *_convolution(3, 32),
        *_convolution(32, 32)[:2],
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Dropout(conv_dropout),
        *_convolution(32, 64),
        *_convolution(64, 64)[:2],
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Dropout(conv_dropout),
        nn.Flatten(),
        nn.Linear(64 * 8 * 8, 512),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(512, 10),
    )


# The last ReLU of each pair follows the pooling, so the caller leaves it out: `[:2]`.
def _convolution(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]


def _load(data_dir: Path | None = None) -> Splits:
    whole, source = _read("train", data_dir)
    train, valid = whole.parts(*sizes_of(len(whole)))
    return Splits(train, valid, source)


def sizes_of(n_rows: int) -> tuple[int, int]:
    """Return how many of the rows of the training files are for training and for validation.

    Example:
        >>> sizes_of(50_000), sizes_of(15_000)
        ((15000, 5000), (12500, 2500))
    """
    # a subset of the training files keeps five times as many rows for training
    n_valid = min(_N_VALID, n_rows // 6)
    return min(_N_TRAIN, n_rows - n_valid), n_valid


def _load_test(data_dir: Path | None = None) -> Split:
    return _read("test", data_dir)[0]


def _read(part: str, data_dir: Path | None) -> tuple[Split, str]:
    folder = data_folder(data_dir)
    parquet = [f"vision/cifar10/{part}.parquet", f"cifar10/{part}.parquet"]
    batches = [f"vision/{_BATCHES}", _BATCHES]
    if found := find(folder, parquet):
        return _from_parquet(found, part), f"CIFAR-10 in {found}"
    if found := find(folder, batches):
        return _from_batches(found.parent, part), f"CIFAR-10 in {found}"
    try:
        rows = rows_from_hub(_HUB_NAME, part)
    except Exception as error:
        raise missing("CIFAR-10", folder, parquet + batches, error) from error
    return _from_rows(rows), f"Hugging Face data set {_HUB_NAME}"


def _from_parquet(path: Path, part: str) -> Split:
    import datasets

    try:
        # Streaming reads the file in place; otherwise the library would copy it to its cache.
        rows = datasets.load_dataset(
            "parquet", data_files={part: str(path)}, split=part, streaming=True
        )
        return _from_rows(rows)
    except Exception as error:
        raise DataError(
            f"Cannot read {path} ({one_line(error)}): it must be a parquet file with the "
            "columns `img` (encoded image) and `label`; download it again."
        ) from error


def _from_rows(rows: Any) -> Split:
    import datasets

    encoded: Iterable[Mapping[str, Any]] = rows.cast_column("img", datasets.Image(decode=False))
    pixels, labels = [], []
    for row in encoded:
        pixels.append(_decode(row["img"]["bytes"]))
        labels.append(row["label"])
    return _normalised(np.stack(pixels), labels)


def _decode(encoded: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def _from_batches(root: Path, part: str) -> Split:
    import torchvision

    try:
        data = torchvision.datasets.CIFAR10(str(root), train=part == "train", download=False)
    except RuntimeError as error:
        raise DataError(
            f"Cannot read {root / _BATCHES} ({one_line(error)}): the folder is damaged, download "
            "it again."
        ) from error
    return _normalised(data.data, data.targets)


def _normalised(pixels: np.ndarray[Any, np.dtype[np.uint8]], labels: list[int]) -> Split:
    """Return the split of images (n, 32, 32, 3) of bytes."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
    return Split(images.div_(255).sub_(_MEAN).div_(_DEVIATION), torch.tensor(labels))


def cifar10(*, augment: bool = True) -> Task:
    """Make the task.

    Args:
        augment: Whether training images are cropped and flipped at random.
    """
    return Task(
        name="cifar10",
        kind="classification",
        build_model=_batch_norm_cnn,
        load=_load,
        load_test=_load_test,
        loss=cross_entropy,
        metric=accuracy,
        augment=crop_and_flip if augment else None,
        bfloat16=True,
    )

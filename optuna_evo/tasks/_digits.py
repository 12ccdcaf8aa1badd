"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels with a small MLP: no files, no network.

1,077 training, 360 validation and 360 test images; pixels 0..16, divided by 16. Data: the test set
of Alpaydin and Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998).
"""

from pathlib import Path

import torch
from torch import nn

from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["digits"]

_SIZES = (1_077, 360, 360)


def _mlp(*, width: int = 64, dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, 10),
    )


def _load(data_dir: Path | None = None) -> Splits:
    train, valid, _ = _parts()
    return Splits(train, valid, "scikit-learn's load_digits")


def _load_test(data_dir: Path | None = None) -> Split:
    return _parts()[2]


def _parts() -> list[Split]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float() / 16
    return Split(images, torch.from_numpy(labels).long()).parts(*_SIZES)


digits = Task(
    name="digits",
    kind="classification",
    build_model=_mlp,
    load=_load,
    load_test=_load_test,
    loss=cross_entropy,
    metric=accuracy,
    batch_size=64,
)

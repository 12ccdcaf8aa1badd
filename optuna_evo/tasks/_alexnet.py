"""MNIST with a simplified AlexNet: five convolutions and three linear layers for 28 x 28 images.

55,000 training and 5,000 validation images, together all 60,000 of the training files; test: the
official 10,000. Layers after Krizhevsky, Sutskever and Hinton 2012, narrowed to what small grey
images need.
"""

import functools
from pathlib import Path

from torch import nn

from optuna_evo.tasks._augment import random_crop
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._mnist import load_training_files
from optuna_evo.tasks._mnist import mnist
from optuna_evo.tasks._task import partition
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["mnist_alexnet"]

_SIZES = (55_000, 5_000)


def _alexnet(*, dropout: float = 0.5) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64 * 3 * 3, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def _load(data_dir: Path | None = None) -> Splits:
    whole, source = load_training_files("MNIST", data_dir)
    train, valid = (
        Split(whole.inputs[rows], whole.targets[rows]) for rows in partition(len(whole), *_SIZES)
    )
    return Splits(train, valid, source)


mnist_alexnet = Task(
    name="mnist_alexnet",
    kind="classification",
    build_model=_alexnet,
    load=_load,
    load_test=mnist.load_test,
    loss=cross_entropy,
    metric=accuracy,
    augment=functools.partial(random_crop, padding=2),
    bfloat16=True,
)

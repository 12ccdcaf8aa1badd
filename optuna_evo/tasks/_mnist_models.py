"""MNIST on all 60,000 training images: a simplified AlexNet, the small CNN, a residual network.

55,000 training and 5,000 validation images; test: the official 10,000. `mnist` trains the small
CNN on 15,000.

AlexNet: five convolutions and three linear layers, after Krizhevsky, Sutskever and Hinton 2012,
narrowed to what small grey images need. The residual network is that of He, Zhang, Ren, Sun 2016
for CIFAR-10 (section 4.2) with `n_blocks` blocks of torchvision at each of the widths `width`,
2 `width`, 4 `width`.
"""

import dataclasses
import functools
from pathlib import Path

from torch import nn

from optuna_evo.tasks._augment import random_crop
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._mnist import load_mnist_test
from optuna_evo.tasks._mnist import load_training_files
from optuna_evo.tasks._mnist import small_cnn
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["mnist_alexnet", "mnist_cnn", "mnist_resnet"]

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
    train, valid = whole.parts(*_SIZES)
    return Splits(train, valid, source)


mnist_alexnet = Task(
    name="mnist_alexnet",
    kind="classification",
    build_model=_alexnet,
    load=_load,
    load_test=load_mnist_test,
    loss=cross_entropy,
    metric=accuracy,
    augment=functools.partial(random_crop, padding=2),
    bfloat16=True,
)


def _resnet(*, n_blocks: int = 1, width: int = 16, dropout: float = 0.0) -> nn.Module:
    """Return the network.

    Args:
        n_blocks: Blocks of two convolutions at each width; n_blocks of 3 is the paper's ResNet-20.
        width: Channels before the first stride.
        dropout: Probability to drop a value before the last layer, in [0, 1].
    """
    blocks: list[nn.Module] = []
    widths = (width, 2 * width, 4 * width)
    for n_in, n_out in zip((width, *widths), widths, strict=False):
        stride = 1 if n_in == n_out else 2  # where the width doubles, height and width halve
        blocks += [_block(n_in, n_out, stride)]
        blocks += [_block(n_out, n_out, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(widths[-1], 10),
    )


def _block(n_in: int, n_out: int, stride: int) -> nn.Module:
    from torchvision.models.resnet import BasicBlock

    shortcut = None  # the identity; a projection (option B of the paper) where shapes change
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
        )
    block: nn.Module = BasicBlock(n_in, n_out, stride, shortcut)
    return block


# Plain images: the studies that these two repeat do not shift them.
_plain = functools.partial(dataclasses.replace, mnist_alexnet, augment=None)

mnist_cnn = _plain(name="mnist_cnn", build_model=small_cnn)
mnist_resnet = _plain(name="mnist_resnet", build_model=_resnet)

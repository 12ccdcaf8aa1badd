"""MNIST with the small CNN and with a small residual network, on all 60,000 training images.

55,000 training and 5,000 validation images; test: the official 10,000. `mnist` trains the same CNN
on 15,000. The residual network is that of He, Zhang, Ren, Sun 2016 for CIFAR-10 (section 4.2) with
`n_blocks` blocks of torchvision at each of the widths `width`, 2 `width`, 4 `width`.
"""

import dataclasses
import functools

from torch import nn

from optuna_evo.tasks._alexnet import mnist_alexnet
from optuna_evo.tasks._mnist import small_cnn


__all__ = ["mnist_cnn", "mnist_resnet"]


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
        stride = 1 if n_in == n_out else 2
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

    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
        )
    block: nn.Module = BasicBlock(n_in, n_out, stride, shortcut)
    return block


# The rows of the AlexNet study are all there are; plain images, as the sources' plan has them.
_whole = functools.partial(dataclasses.replace, mnist_alexnet, augment=None)

mnist_cnn = _whole(name="mnist_cnn", build_model=small_cnn)
mnist_resnet = _whole(name="mnist_resnet", build_model=_resnet)

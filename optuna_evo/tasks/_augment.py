"""Random crops and flips of a whole batch of images (b, channels, height, width) at once."""

import torch
from torch import Tensor
import torch.nn.functional as F


__all__ = ["crop_and_flip", "random_crop", "random_flip"]


def crop_and_flip(images: Tensor, generator: torch.Generator, *, padding: int = 4) -> Tensor:
    """Crop after padding, then flip half of the images: with 4 the usual pair for CIFAR."""
    return random_flip(random_crop(images, generator, padding=padding), generator)


def random_crop(images: Tensor, generator: torch.Generator, *, padding: int) -> Tensor:
    """Shift each image by up to `padding` pixels either way; the border is 0 (the mean)."""
    b, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    # All shifts of all images as one view, so that one indexing takes the whole batch's crops.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (b, c, 2p+1, 2p+1, h, w), a view
    shape = (2, b)
    y, x = torch.randint(2 * padding + 1, shape, generator=generator, device=images.device)
    return windows[torch.arange(b, device=images.device), :, y, x]


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image from left to right with probability 1/2."""
    coin = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    return torch.where(coin < 0.5, images.flip(3), images)

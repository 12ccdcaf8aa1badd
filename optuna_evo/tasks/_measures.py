"""Losses and metrics: means over a batch, in float32 whatever the outputs are in."""

from torch import Tensor
import torch.nn.functional as F


__all__ = ["accuracy", "cross_entropy", "mean_squared_error", "variance_explained"]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy in nats of logits (..., classes) and classes (...)."""
    return F.cross_entropy(outputs.flatten(0, -2).float(), targets.flatten())


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of targets (...) that have the largest logit of outputs (..., classes)."""
    return (outputs.argmax(dim=-1) == targets).float().mean()


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of outputs (b,) and targets (b,)."""
    return F.mse_loss(outputs.float(), targets)


def variance_explained(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - mean squared error, the share explained of targets with variance 1."""
    return 1 - mean_squared_error(outputs, targets)

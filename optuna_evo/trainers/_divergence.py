"""The rule of divergence (`optuna_evo.curves.has_diverged`) on the losses of many members."""

import math

import torch
from torch import Tensor

from optuna_evo.curves import has_diverged
from optuna_evo.curves import recent_losses


__all__ = ["diverged", "STEPS_BETWEEN_CHECKS"]

# Losses stay on the device; looking at them makes it wait.
STEPS_BETWEEN_CHECKS = 25


def diverged(losses: Tensor, *, is_over: bool = False) -> list[bool]:
    """Tell for each member whether its losses show a divergence.

    Args:
        losses: Losses (members, steps) so far.
        is_over: Whether no more will come.

    Returns:
        One entry for each member; one transfer from the device.
    """
    if not losses.numel():
        return [False] * len(losses)
    n = losses.shape[1]
    window = recent_losses(n, is_over=is_over)
    recent = losses[:, -window:].amin(dim=1)  # NaN if one of them is
    earlier = losses[:, : max(1, n - window)]
    finite = torch.isfinite(earlier)
    first = earlier.gather(1, finite.int().argmax(dim=1, keepdim=True)).squeeze(1)
    best = torch.where(finite, earlier, math.inf).amin(dim=1)
    # the three values that the rule reads; a first or best one that is not finite is left out
    return [has_diverged(three) for three in torch.stack([first, best, recent], 1).tolist()]

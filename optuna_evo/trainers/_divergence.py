"""The rule of divergence (`optuna_evo.curves.has_diverged`) on the losses of many members."""

import math

import torch
from torch import Tensor

from optuna_evo.curves import has_diverged
from optuna_evo.curves import RECENT_LOSSES


__all__ = ["diverged", "STEPS_BETWEEN_CHECKS"]

# Losses stay on the device; looking at them makes it wait.
STEPS_BETWEEN_CHECKS = 25


def diverged(losses: Tensor) -> list[bool]:
    """Tell for each member whether `has_diverged(losses, window=RECENT_LOSSES)`.

    Args:
        losses: Losses (members, steps) so far.

    Returns:
        One entry for each member; one transfer from the device.
    """
    if not losses.numel():
        return [False] * len(losses)
    recent = losses[:, -RECENT_LOSSES:].amin(dim=1)  # NaN if one of them is
    earlier = losses[:, :-RECENT_LOSSES] if losses.shape[1] > RECENT_LOSSES else losses[:, :1]
    finite = torch.isfinite(earlier)
    first = earlier.gather(1, finite.int().argmax(dim=1, keepdim=True)).squeeze(1)
    best = torch.where(finite, earlier, math.inf).amin(dim=1)
    # the three values that the rule reads; a first or best one that is not finite is left out
    return [has_diverged(three) for three in torch.stack([first, best, recent], 1).tolist()]

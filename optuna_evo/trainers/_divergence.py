"""When training losses show that a run is beyond hope; one spike does not."""

import math

import torch
from torch import Tensor

from optuna_evo.curves import has_diverged


__all__ = ["beyond_hope", "STEPS_BETWEEN_CHECKS"]

# Losses stay on the device; looking at them makes it wait.
STEPS_BETWEEN_CHECKS = 25


def beyond_hope(losses: Tensor) -> list[bool]:
    """Tell for each member whether no loss since the last check is near those before.

    RMSprop at its usual defaults starts with a spike, its first step being ten times the learning
    rate, and comes back.

    Args:
        losses: Losses (members, steps) so far, a multiple of `STEPS_BETWEEN_CHECKS` steps.

    Returns:
        One entry for each member; one transfer from the device.
    """
    recent = losses[:, -STEPS_BETWEEN_CHECKS:].amin(dim=1)  # NaN if one of them is
    before = losses[:, :-STEPS_BETWEEN_CHECKS] if losses.shape[1] > STEPS_BETWEEN_CHECKS else None
    earlier = losses[:, :1] if before is None else before
    best = earlier.nan_to_num(math.inf, posinf=math.inf, neginf=math.inf).amin(dim=1)
    return [has_diverged(three) for three in torch.stack([losses[:, 0], best, recent], 1).tolist()]

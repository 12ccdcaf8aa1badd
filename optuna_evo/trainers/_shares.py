"""A course of losses in a few numbers."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor


__all__ = ["means_of_shares"]


def means_of_shares(losses: Tensor, points: int) -> Sequence[Sequence[float]]:
    """Return for each row at most `points` means over equal shares, NaN where one is not finite.

    Example:
        >>> means_of_shares(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2)
        [[2.0, 6.0]]
    """
    n = losses.shape[1]
    if not n or not len(losses):
        return [[] for _ in losses]
    k = min(points, n)
    bounds = np.arange(k) * n // k
    values = losses.detach().cpu().double().numpy()
    with np.errstate(invalid="ignore"):  # infinities of opposite signs
        means = np.add.reduceat(values, bounds, axis=1) / np.diff([*bounds, n])
    return np.where(np.isfinite(means), means, np.nan).tolist()  # type: ignore[no-any-return]

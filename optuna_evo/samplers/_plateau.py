"""Which candidates need not give the best value once more."""

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.surrogates import squared_distances


Array = NDArray[np.float64]


WIDER = 2.0  # by how much farther than the last step on a plateau the next one is
MAX_REACH = 0.1  # of the range in each parameter


def keeps_off(n_earlier: int) -> bool:
    """Whether to keep off a plateau: not each time, so that nothing is shut out for good."""
    return n_earlier % 4 > 0


def off_plateau(belief: Belief, candidates: Array) -> NDArray[np.intp]:
    """Return the indices of candidates that need not give the best value once more.

    Accuracies on few rows, and whatever is rounded or looked up, have plateaus: if different
    configurations gave exactly the best value, one whose nearest neighbour is among them is
    expected to give it too, up to twice as far as it reached from one to the next so far. So a
    plateau of any width is left after few trials. All, if none is left.
    """
    everyone = np.arange(len(candidates), dtype=np.intp)
    feasible = belief.violations == 0.0
    tied = feasible & (belief.losses == belief.losses[feasible].min(initial=np.inf))
    if tied.sum() < 2:
        return everyone
    seen = belief.features(belief.units)
    best = seen[tied]
    between = squared_distances(best, best)
    between[np.diag_indices_from(between)] = np.inf
    reach = WIDER**2 * between.min(axis=1).max()
    reach = min(reach, MAX_REACH**2 * len(belief.encoding.axes))
    away = squared_distances(belief.features(candidates), seen)
    nearest = away.argmin(axis=1)
    off = ~(tied[nearest] & (away.min(axis=1) <= reach))
    return np.flatnonzero(off) if off.any() else everyone

"""Which configuration of the old studies to try first, second, ...

A greedy, complementary set: each next one improves most, in the mean over the sources, on the best
that was tried so far (Wistuba, Schilling and Schmidt-Thieme 2015). What was tried is read from the
study, so the set is the same whoever asks, and continues around whatever else was evaluated.
"""

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._meta._belief import Knowledge


Array = NDArray[np.float64]

NOTHING_TRIED = 3.0  # standard deviations above a source's mean: worse than all configurations


def next_of_portfolio(knowledge: Knowledge, known: Array) -> Array:
    """Return the next configuration as units (d,), NaN where no source knows.

    Args:
        knowledge: The sources.
        known: What was tried or runs, (n, d).
    """
    encoding = knowledge.encoding
    candidates = encoding.snap(np.concatenate(knowledge.best))
    fresh = unseen(candidates, known)
    models = knowledge.models
    predicted = models.means(encoding.features(candidates[fresh]))
    if len(known):
        tried = models.means(encoding.features(known)).min(axis=0)
    else:
        tried = np.full(models.n_sources, NOTHING_TRIED)
    mean = np.minimum(predicted, tried) @ knowledge.shares
    return np.asarray(candidates[fresh[mean.argmin()]])

"""Which configuration of the old studies to try first, second, ...

A greedy, complementary set: each next one improves most, in the mean over the sources, on the best
that was tried so far (Wistuba, Schilling and Schmidt-Thieme 2015). A source that tried a
configuration says what came out, the others what they expect, so where models know little the set
goes through the best of each source. At least half of its members are from different sources. What
was tried is read from the study, so the set is the same whoever asks, and continues around
whatever else was evaluated.
"""

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._meta._belief import Knowledge


Array = NDArray[np.float64]

NOTHING_TRIED = 3.0  # standard deviations above a source's mean: worse than all configurations


def next_of_portfolio(knowledge: Knowledge, known: Array, shares: Array) -> Array:
    """Return the next configuration as units (d,), NaN where no source knows.

    Args:
        knowledge: The sources.
        known: What was tried or runs, (n, d).
        shares: How much each source counts, (S,), sum 1.
    """
    encoding, models = knowledge.encoding, knowledge.models
    candidates = encoding.snap(np.concatenate(knowledge.best))
    owner = np.repeat(np.arange(models.n_sources), [len(part) for part in knowledge.best])
    fresh = _of_new_sources(unseen(candidates, known), owner)
    expected = models.means(encoding.features(candidates))
    expected[np.arange(len(owner)), owner] = knowledge.results
    if len(known):
        tried = models.means(encoding.features(known)).min(axis=0)
    else:
        tried = np.full(models.n_sources, NOTHING_TRIED)
    mean = np.minimum(expected[fresh], tried) @ shares
    return np.asarray(candidates[fresh[mean.argmin()]])


def _of_new_sources(fresh: NDArray[np.intp], owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Leave out the sources that had a turn, while more than half of the turns were theirs."""
    taken = np.delete(owner, fresh)
    if 2 * len(np.unique(taken)) > len(taken):
        return fresh
    new = fresh[~np.isin(owner[fresh], taken)]
    return new if len(new) else fresh

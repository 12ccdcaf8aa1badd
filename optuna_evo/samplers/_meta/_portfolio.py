"""Which configurations of the old studies to try first, second, ..., and how many of them.

A greedy, complementary set: each next one improves most, in the mean over the sources, on the best
that was tried so far (Wistuba, Schilling and Schmidt-Thieme 2015). What was tried is read from the
study, so the set is the same whoever asks, and continues around whatever else was evaluated.

    c candidates: the best configurations of S sources

Where models explain less than half of what the sources saw, their predictions are guesses: what
was recorded of a configuration counts as much as what the model of its source makes of it, and
each source has one of its own tried before any has its second.
"""

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._meta._belief import Knowledge


Array = NDArray[np.float64]

NOTHING_TRIED = 3.0  # standard deviations above a source's mean: worse than all configurations
SHORT = 2  # trials; what they show is worth more than a longer list that ignores it
LONG = 10
EXPLAINED = 0.5  # of a source's variance, by its model from the other rows
RECORDED = 0.5  # weight of a result beside what the model of its source makes of it


def portfolio_length(knowledge: Knowledge) -> int:
    """Return how many trials the portfolio has: where models are unsure, one of each source.

    Else what the models say between the known configurations is better than a third known one.
    """
    return int(np.clip(len(knowledge.best), SHORT, LONG)) if _is_unsure(knowledge) else SHORT


def next_of_portfolio(knowledge: Knowledge, known: Array) -> Array:
    """Return the next configuration as units (d,), NaN where no source knows.

    Args:
        knowledge: The sources.
        known: What was tried or runs, (n, d).
    """
    encoding, models = knowledge.encoding, knowledge.models
    candidates = encoding.snap(np.concatenate(knowledge.best))
    owner = np.repeat(np.arange(models.n_sources), [len(best) for best in knowledge.best])
    fresh = unseen(candidates, known)
    predicted = models.means(encoding.features(candidates))
    if _is_unsure(knowledge):
        own = np.arange(len(candidates)), owner
        predicted[own] += RECORDED * (np.concatenate(knowledge.recorded) - predicted[own])
        had_turn = owner[_were_tried(candidates, known)]
        if len(others := fresh[~np.isin(owner[fresh], had_turn)]):
            fresh = others
    if len(known):
        tried = models.means(encoding.features(known)).min(axis=0)
    else:
        tried = np.full(models.n_sources, NOTHING_TRIED)
    mean = np.minimum(predicted[fresh], tried) @ knowledge.shares
    return np.asarray(candidates[fresh[mean.argmin()]])


def _is_unsure(knowledge: Knowledge) -> bool:
    return float(knowledge.models.reliability.mean()) ** 2 < EXPLAINED


def _were_tried(candidates: Array, known: Array) -> NDArray[np.bool_]:
    """Tell which candidates were tried, whatever the parameters that they lack had, (c,)."""
    same = (candidates[:, None] == known) | np.isnan(candidates[:, None])
    return np.asarray(same.all(axis=2).any(axis=1))

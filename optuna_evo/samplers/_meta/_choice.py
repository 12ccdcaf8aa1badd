"""The configuration that a belief, with or without sources, finds worth trying."""

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import local_steps
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._meta._belief import InformedBelief
from optuna_evo.samplers._meta._user_prior import draw_prior
from optuna_evo.samplers._meta._user_prior import log_density
from optuna_evo.samplers._meta._user_prior import UserPrior
from optuna_evo.samplers._plateau import off_plateau


Array = NDArray[np.float64]

N_DRAWS = 16
N_BELIEVED = 60  # candidates drawn from the user's belief
N_AROUND_SOURCES = 120  # candidates around the best configurations of the sources
BELIEF_TRIALS = 10.0  # the power of the user's density is this by the number of trials


def choose(
    belief: Belief,
    counts: Counts,
    priors: tuple[UserPrior, ...],
    n_tried: int,
    rng: np.random.Generator,
) -> Array:
    """Return the units to try, (d,).

    Each of some posterior draws nominates its best candidate; among the nominees the one with the
    highest expected improvement wins, times the user's belief.
    """
    encoding = belief.encoding
    parts = [make_candidates(encoding, belief.ranked, counts, rng)]
    if isinstance(belief, InformedBelief):
        best = encoding.snap(np.concatenate(belief.knowledge.best))
        best = np.where(np.isnan(best), encoding.uniform(len(best), rng), best)
        order = np.argsort(belief.posterior.mean_and_variance(belief.features(best))[0])
        parts += [best, local_steps(encoding, best[order], N_AROUND_SOURCES, rng)]
    if priors:
        parts.append(draw_prior(priors, encoding, N_BELIEVED, rng))
    drafted = np.concatenate(parts)
    drafted = drafted[belief.fresh(drafted)]
    if n_tried % 2:  # every second trial, so that nothing is shut out for good
        drafted = drafted[off_plateau(belief, drafted)]
    candidates = belief.shortlist(drafted)
    features = belief.features(candidates)
    nominees = np.unique(belief.nominate(features, N_DRAWS, rng))
    mean, variance = belief.posterior.mean_and_variance(features[nominees])
    score = belief.log_acquisition(features[nominees], mean, variance)
    if priors:
        power = BELIEF_TRIALS / max(n_tried, 1)  # beta / n of piBO (Hvarfner et al. 2022)
        score = score + power * log_density(priors, encoding, candidates[nominees])
    return np.asarray(candidates[nominees[score.argmax()]])

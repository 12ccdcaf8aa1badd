"""The configuration that should improve most on the best result: expected improvement, climbed.

    m candidates, d parameters

The best of a few hundred candidates lies beside the maximum, not on it, the farther the more
parameters there are. So steps that get smaller lead on from the best few of them: any kind of
parameter can be climbed, and a marginal posterior is cheap.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._candidates import apart
from optuna_evo.samplers._candidates import MAX_GRID
from optuna_evo.samplers._candidates import small_steps
from optuna_evo.samplers._plateau import off_plateau
from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import TrainedMetaLearner


__all__ = ["most_promising"]

Array = NDArray[np.float64]

STEP_SIZES: Final = (0.1, 0.03, 0.01)  # of a unit, one round each
N_STEPS: Final = 150  # a round
N_STARTS: Final = 5
APART: Final = 0.0025  # of a unit, for each trial since the best one
MAX_APART: Final = 0.025
MAX_KNOWN: Final = 100  # configurations to keep away from, the latest
LEARNER_SHARE: Final = 0.3  # of the expected result: the posterior alone orders them worse


def most_promising(
    belief: Belief,
    candidates: Array,
    learner: TrainedMetaLearner | None,
    rng: np.random.Generator,
    *,
    elsewhere: bool = False,
) -> Array:
    """Return the units to try, (d,); those of a posterior draw as long as nothing is feasible.

    Args:
        belief: What is known.
        candidates: Where the climb begins, (m, d).
        learner: A trusted meta-learner has a share in what is expected; None without one.
        rng: Source of randomness.
        elsewhere: Whether to keep off a plateau of the best value.
    """
    candidates = new_ones(belief, candidates, elsewhere)
    if belief.best_target is None:
        # The probability of being feasible would be highest where least is known.
        return belief.best_of_draw(candidates, rng)
    scores = promise(belief, candidates, learner)
    if belief.encoding.n_configurations <= MAX_GRID:
        return np.asarray(candidates[scores.argmax()])
    for size in STEP_SIZES:
        starts = candidates[np.argsort(-scores, kind="stable")[:N_STARTS]]
        steps = small_steps(belief.encoding, starts, N_STEPS, size, rng)
        candidates = np.concatenate([starts, new_ones(belief, steps, elsewhere)])
        scores = promise(belief, candidates, learner)
    return np.asarray(candidates[scores.argmax()])


def new_ones(belief: Belief, candidates: Array, elsewhere: bool) -> Array:
    """Return the candidates that would tell something new.

    Beside a good result the process expects another one, again and again. The longer nothing was
    better, the farther from all results the next one has to be.
    """
    candidates = candidates[belief.fresh(candidates)]
    if elsewhere:
        candidates = candidates[off_plateau(belief, candidates)]
    if belief.best_target is None:
        return np.asarray(candidates)
    feasible = np.where(belief.violations == 0.0, belief.losses, np.inf)
    n_since = len(feasible) - 1 - int(feasible.argmin())
    distance = min(APART * n_since, MAX_APART)
    latest = belief.known[-MAX_KNOWN:]
    is_category = [axis.is_category for axis in belief.encoding.axes]
    placed = deactivate(candidates, belief.rules)
    return np.asarray(candidates[apart(placed, latest, distance, is_category)])


def promise(belief: Belief, candidates: Array, learner: TrainedMetaLearner | None) -> Array:
    """Return ln of the expected improvement at candidates (m, d), (m,)."""
    features = belief.features(candidates)
    mean, variance = belief.posterior.mean_and_variance(features)
    if learner is not None:
        predicted = learner.predict_features(features).mean
        mean = (1.0 - LEARNER_SHARE) * mean + LEARNER_SHARE * predicted
    return belief.log_acquisition(features, mean, variance)

"""The second phase of `HybridSampler`: a narrower space, and draws screened by a meta-learner.

n observations, m candidates, d parameters, q posterior draws
"""

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._candidates import MAX_GRID
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import TrainedMetaLearner


Array = NDArray[np.float64]

ELITE_SHARE = 0.2  # of the observations: what they span is promising
MIN_ELITES = 5
MARGIN = 0.15  # of a range, beyond what the elites span
FEW = 3  # a choice tried less often than this is not refuted
N_DRAWS = 16
LEARNER_SHARE = 0.3  # of the expected result: the posterior alone orders configurations worse
SHARE_OUTSIDE = 0.25  # of the global candidates: drawn from the whole space


@dataclass(frozen=True)
class Box:
    """The promising part of a space: a range for each number, the choices kept of a category."""

    low: Array  # (d,)
    high: Array  # (d,)
    choices: tuple[NDArray[np.intp], ...]  # empty for numbers

    def draw(self, encoding: SpaceEncoding, n: int, rng: np.random.Generator) -> Array:
        """Draw configurations inside the box, all parameters present, (n, d)."""
        units = self.low + rng.random((n, len(self.low))) * (self.high - self.low)
        for j, choices in enumerate(self.choices):
            if len(choices):
                units[:, j] = rng.choice(choices, n)
        return encoding.snap(units)


def narrow(encoding: SpaceEncoding, ranked: Array) -> Box:
    """Return the box around the elites of `ranked`, observations with the best first, (n, d).

    The best one is an elite, so its neighbourhood is never shut out. A choice is dropped only if
    it was tried and no elite has it; a parameter that no elite has keeps its range.
    """
    elites = ranked[: max(MIN_ELITES, round(ELITE_SHARE * len(ranked)))]
    low, high = np.zeros(ranked.shape[1]), np.ones(ranked.shape[1])
    choices: list[NDArray[np.intp]] = []
    for j, axis in enumerate(encoding.axes):
        column = elites[:, j][~np.isnan(elites[:, j])]
        kept = np.empty(0, dtype=np.intp)
        if axis.is_category:
            known = ranked[:, j][~np.isnan(ranked[:, j])].astype(np.intp)
            tried = np.bincount(known, minlength=axis.n_levels or 1)
            good = np.zeros(len(tried), dtype=bool)
            good[column.astype(np.intp)] = True
            kept = np.flatnonzero(good | (tried < FEW))
        elif len(column):
            low[j] = np.clip(column.min() - MARGIN, 0.0, 1.0)
            high[j] = np.clip(column.max() + MARGIN, 0.0, 1.0)
        choices.append(kept)
    return Box(low, high, tuple(choices))


def screen(
    belief: Belief,
    candidates: Array,
    learner: TrainedMetaLearner | None,
    rng: np.random.Generator,
    *,
    n_draws: int = N_DRAWS,
) -> int:
    """Return the index of the candidate to try, (m, d) given.

    Each of some posterior draws nominates its best candidate. Among the nominees the one with the
    highest expected improvement wins; a trusted meta-learner has a share in what is expected.
    """
    features = belief.features(candidates)
    nominees = np.unique(belief.nominate(features, n_draws, rng))
    mean, variance = belief.posterior.mean_and_variance(features[nominees])
    if learner is not None:
        predicted = learner.predict_features(features[nominees]).mean
        mean = (1.0 - LEARNER_SHARE) * mean + LEARNER_SHARE * predicted
    return int(nominees[belief.log_acquisition(features[nominees], mean, variance).argmax()])


def make_narrowed(
    encoding: SpaceEncoding, ranked: Array, counts: Counts, rng: np.random.Generator
) -> Array:
    """Return the candidates of phase 2, most of the global ones from the box, (m, d)."""
    if encoding.n_configurations <= MAX_GRID:
        return encoding.grid()
    outside = round(SHARE_OUTSIDE * counts.everywhere)
    drafted = make_candidates(encoding, ranked, replace(counts, everywhere=outside), rng)
    inside = narrow(encoding, ranked).draw(encoding, counts.everywhere - outside, rng)
    return np.concatenate([drafted, inside])

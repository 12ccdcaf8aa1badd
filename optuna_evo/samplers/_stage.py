"""The posterior in `HybridSampler`: it chooses among offspring, and proposes on its own later.

Nothing here knows a study: histories come in, parameters go out. What is kept between calls is the
last fit of each kind, found again by the data it was fitted to.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._belief import learning_targets
from optuna_evo.samplers._belief import merits
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._history import History
from optuna_evo.samplers._improve import most_promising
from optuna_evo.samplers._improve import new_ones
from optuna_evo.samplers._improve import promise
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._plateau import keeps_off
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import MetaLearner
from optuna_evo.surrogates import TrainedMetaLearner


__all__ = ["ThompsonStage"]

MIN_TO_LEARN = 15  # observations before the meta-learner is trained at all
MAX_LEARNER_ROWS = 128  # observations that it is trained on
DRAW_EVERY = 3  # trials of which one is a draw from the posterior
COUNTS = Counts(everywhere=400, local=400, crossed=100)

Array = NDArray[np.float64]
Params = dict[str, Any]


class ThompsonStage:
    """Expected improvement over candidates, with a meta-learner where it deserves trust.

    Args:
        min_correlation: Rank correlation from which the meta-learner is trusted.
    """

    def __init__(self, *, min_correlation: float) -> None:
        self._learner = MetaLearner(min_correlation=min_correlation)
        self._kernels = LastResult[Kernel]()
        self._constraints: KernelMemory = {}
        self._learners = LastResult[TrainedMetaLearner]()

    def choose(
        self,
        history: History,
        offspring: Sequence[Params],
        rng: np.random.Generator,
        *,
        with_candidates: bool,
    ) -> tuple[Params, str]:
        """Return the most promising of a pair's offspring, and what it is.

        Args:
            history: Results so far, at least one.
            offspring: Children of one pair of parents.
            rng: Source of randomness.
            with_candidates: Whether random configurations and small steps from the best results
                compete with them.
        """
        belief = believe(history, self._kernels, self._constraints)
        children = belief.encoding.units(offspring)
        if not with_candidates:
            fresh = belief.fresh(children)
            chosen = int(fresh[promise(belief, children[fresh], None).argmax()])
            return offspring[chosen], "offspring"
        drafted = np.concatenate([children, _draft(belief, rng)])
        row = most_promising(belief, drafted, None, rng, elsewhere=keeps_off(history.n_earlier))
        born = np.flatnonzero((np.nan_to_num(children, nan=-1.0) == row).all(axis=1))
        if len(born):
            return offspring[int(born[0])], "offspring"
        return belief.values(row), "candidate"

    def propose(self, history: History, rng: np.random.Generator) -> tuple[Params, str]:
        """Return the configuration to evaluate, and which models contributed."""
        if not history.space or len(history.observations) < 2:
            return {}, "random"
        belief = believe(history, self._kernels, self._constraints)
        elsewhere = keeps_off(history.n_earlier)
        if history.n_earlier % DRAW_EVERY == 0:
            # What is expected to improve is of one kind, trial after trial; a draw believes
            # something else each time.
            counts = COUNTS.near if belief.feasibility is None else COUNTS
            near = new_ones(belief, _draft(belief, rng, counts), elsewhere=elsewhere)
            return belief.values(belief.best_of_draw(near, rng)), "thompson"
        drafted = _draft(belief, rng)
        learner = self._trained(belief)
        chosen = most_promising(belief, drafted, learner, rng, elsewhere=elsewhere)
        return belief.values(chosen), "thompson" + " + meta-learner" * (learner is not None)

    def _trained(self, belief: Belief) -> TrainedMetaLearner | None:
        """Return the meta-learner if it may be trusted."""
        size = fit_size(len(belief.targets), between=True)
        if size < MIN_TO_LEARN:
            return None
        violations = belief.violations[:size]
        targets = learning_targets(belief.losses[:size], violations)
        rows = spread_rows(merits(targets, violations), MAX_LEARNER_ROWS)
        encoding, units, targets = belief.encoding, belief.units[rows], targets[rows]
        trained = self._learners.of(
            lambda: self._learner.fit_encoded(encoding, units, targets), units, targets
        )
        return trained if trained.is_trusted else None


def _draft(belief: Belief, rng: np.random.Generator, counts: Counts = COUNTS) -> Array:
    return make_candidates(belief.encoding, belief.ranked, counts, rng)

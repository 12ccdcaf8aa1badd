"""The posterior in `HybridSampler`: it chooses among offspring, and proposes on its own later.

Nothing here knows a study: histories come in, parameters go out. What is kept between calls is the
last fit of each kind, found again by the data it was fitted to.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._belief import learning_targets
from optuna_evo.samplers._belief import merits
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._history import History
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._refine import make_narrowed
from optuna_evo.samplers._refine import screen
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import MetaLearner
from optuna_evo.surrogates import TrainedMetaLearner


__all__ = ["ThompsonStage"]

MIN_TO_LEARN = 15  # observations before the meta-learner is trained at all
MAX_LEARNER_ROWS = 512  # observations that it is trained on
COUNTS = Counts(everywhere=400, local=400, crossed=100)
# Candidates beside the offspring: more of them, and they would win nearly every slot they enter.
BESIDE_OFFSPRING = Counts(everywhere=70, local=70, crossed=10)

Params = dict[str, Any]


class ThompsonStage:
    """Thompson sampling whose draws are screened by expected improvement and a meta-learner.

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
        units = belief.encoding.units(offspring)
        if with_candidates:
            others = make_candidates(belief.encoding, belief.ranked, BESIDE_OFFSPRING, rng)
            units = np.concatenate([units, others])
        fresh = belief.fresh(units)
        chosen = int(fresh[screen(belief, units[fresh], None, rng)])
        if chosen < len(offspring):
            return offspring[chosen], "offspring"
        return belief.values(units[chosen]), "candidate"

    def propose(self, history: History, rng: np.random.Generator) -> tuple[Params, str]:
        """Return the configuration to evaluate, and which models contributed."""
        if not history.space or len(history.observations) < 2:
            return {}, "random"
        belief = believe(history, self._kernels, self._constraints)
        drafted = make_narrowed(belief.encoding, belief.ranked, COUNTS, rng)
        candidates = belief.shortlist(drafted[belief.fresh(drafted)])
        learner = self._trained(belief)
        chosen = candidates[screen(belief, candidates, learner, rng)]
        return belief.values(chosen), "thompson" + " + meta-learner" * (learner is not None)

    def _trained(self, belief: Belief) -> TrainedMetaLearner | None:
        """Return the meta-learner if it may be trusted."""
        size = fit_size(len(belief.targets))
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

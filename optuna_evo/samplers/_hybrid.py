"""Genetic exploration, then a Thompson bandit with a meta-learner where it was promising."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._belief import fit_size
from optuna_evo.samplers._belief import spread_rows
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._ga._sampler import GASampler
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._refine import make_narrowed
from optuna_evo.samplers._refine import screen
from optuna_evo.samplers._streams import entropy
from optuna_evo.samplers._streams import stream
from optuna_evo.samplers._thompson import draw_uniform
from optuna_evo.samplers._threads import one_blas_thread
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import MetaLearner
from optuna_evo.surrogates import TrainedMetaLearner
from optuna_evo.surrogates import warp


PROPOSED_BY = "proposed_by"
MIN_TO_LEARN = 15  # observations before the meta-learner is trained at all
MAX_LEARNER_ROWS = 512  # observations that it is trained on
COUNTS = Counts(everywhere=400, local=400, crossed=100)
IMMIGRANTS = Counts(everywhere=70, local=70, crossed=10)

Params = dict[str, Any]


class HybridSampler(GASampler):
    """Explore with a genetic algorithm, then refine with a screened Thompson bandit.

    Phase 1, the first `population_size * n_generations` trials, is `GASampler`: tournaments,
    elites, crossover, mutation by type, and numbered generations. Generation 0 is random. Later,
    each pair of parents has a litter of `litter_size` children, and their place is given to the
    one that a few draws from the posterior over all results so far find most promising. At every
    second place the litter competes with immigrants: random configurations and small steps from
    the best found so far, which may be younger than the parents.

    Phase 2 narrows the space to what the best fifth of the trials span, with a margin; choices
    that were tried and never came among them are dropped. Most candidates come from there and from
    the neighbourhood of the best trials, the others from the whole space, so that a wrong box
    costs time and nothing else. Each of a few posterior draws nominates a candidate; expected
    improvement and, while it deserves trust, the meta-learner choose among the nominees.

    Which part proposed a trial is its user attribute "proposed_by": "genetic 0: random",
    "genetic 2: litter", "genetic 2: immigrant", "thompson" or "thompson + meta-learner". The
    generation is also what `get_trial_generation` returns. All state is in the study, as in
    `GASampler` and `ThompsonSampler`: phases, parents and draws are a function of the seed and the
    trials before. Membership of the population is that of `GASampler`, results are read as by
    `ThompsonSampler`.

    Args:
        population_size:
            Number of trials a generation, at least 2.
        n_generations:
            Number of generations of phase 1, at least 1; with 1 there is no breeding.
        tournament_size:
            Number of candidates among which the best becomes a parent, at least 1.
        n_elites:
            Number of best earlier trials that stay among the parents.
        litter_size:
            Number of children of a pair of which one is evaluated, at least 1; 1 is the plain
            genetic algorithm, without immigrants.
        crossover_prob:
            Probability that a child has two parents, in [0, 1].
        mutation_prob:
            Probability that a number mutates, in [0, 1].
        mutation_scale:
            Size of a mutation in standard deviations of a uniform draw from the (log) range, > 0.
            A litter is screened, so it may be wider than where every child is evaluated.
        flag_prob:
            Probability that a categorical parameter changes, in [0, 1].
        min_correlation:
            Rank correlation on trials it has not seen from which the meta-learner is trusted, in
            [-1, 1]; 1 leaves it out.
        seed:
            Seed of all draws; None takes a new one.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=HybridSampler(seed=1))
        >>> study.optimize(lambda t: (t.suggest_float("x", -1, 1) - 0.3) ** 2, n_trials=35)
        >>> study.best_value < 1e-3, study.trials[0].user_attrs["proposed_by"]
        (True, 'genetic 0: random')
    """

    def __init__(
        self,
        *,
        population_size: int = 10,
        n_generations: int = 3,
        tournament_size: int = 4,
        n_elites: int = 3,
        litter_size: int = 50,
        crossover_prob: float = 0.9,
        mutation_prob: float = 0.35,
        mutation_scale: float = 1.0,
        flag_prob: float = 0.25,
        min_correlation: float = 0.5,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            population_size=population_size,
            n_generations=n_generations,
            tournament_size=tournament_size,
            n_elites=n_elites,
            crossover_prob=crossover_prob,
            mutation_prob=mutation_prob,
            mutation_scale=mutation_scale,
            flag_prob=flag_prob,
            seed=seed,
        )
        if litter_size < 1:
            raise ValueError(
                f"`litter_size` must be at least 1, but got {litter_size=}. "
                "1 evaluates every child."
            )
        self._litter_size = litter_size
        self._n_genetic = population_size * n_generations
        self._learner = MetaLearner(min_correlation=min_correlation)
        self._entropy = entropy(seed)
        self._kernels = LastResult[Kernel]()
        self._learners = LastResult[TrainedMetaLearner]()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial a place in the population during phase 1."""
        self._raise_error_if_multi_objective(study)
        if self._is_genetic(study, trial):
            super().before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every parameter that a member of the population or finished trial has had."""
        self._raise_error_if_multi_objective(study)
        if self._is_genetic(study, trial):
            return super().infer_relative_search_space(study, trial)
        return dict(read_history(study, trial).space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a child in phase 1, a refined configuration in phase 2."""
        self._raise_error_if_multi_objective(study)
        history = read_history(study, trial).within(search_space)
        propose = self._breed if self._is_genetic(study, trial) else self._refine
        with one_blas_thread():
            params, why = propose(study, trial, history)
        study._storage.set_trial_user_attr(trial._trial_id, PROPOSED_BY, why)
        return {name: value for name, value in params.items() if name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a uniform draw; in phase 1 the child's value, moved into a changed range."""
        self._raise_error_if_multi_objective(study)
        if self._is_genetic(study, trial):
            return super().sample_independent(study, trial, param_name, param_distribution)
        rng = self._stream(study, trial, f"independent/{param_name}")
        return draw_uniform(param_name, param_distribution, rng)

    def _is_genetic(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial belongs to phase 1: failed trials leave room for others."""
        if trial.number < self._n_genetic:
            return True
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        earlier = trials[: trial.number]
        return sum(t.state != TrialState.FAIL for t in earlier) < self._n_genetic

    def _breed(self, study: Study, trial: FrozenTrial, history: History) -> tuple[Params, str]:
        """Return the child to evaluate, and where it comes from."""
        with self._cache.lock:
            population, ticket = self._find(study, trial)
            child, origin = self._genes(population, ticket, trial.number), "random"
            if ticket.parents and history.space and self._litter_size > 1:
                # Later attempts are other children of the same parents: so are siblings.
                first = ticket.attempt * self._litter_size
                attempts = range(first, first + self._litter_size)
                litter = [self._child(population, replace(ticket, attempt=k)) for k in attempts]
                rng = self._stream(study, trial, "litter")
                # every second place is kept for children, whatever the posterior thinks of them
                mixed = ticket.slot % 2 == 1
                child, origin = self._choose(history, litter, rng, mixed=mixed)
                population.genes[trial.number] = child
        return child, f"genetic {ticket.generation}: {origin}"

    def _choose(
        self, history: History, litter: Sequence[Params], rng: np.random.Generator, *, mixed: bool
    ) -> tuple[Params, str]:
        """Return the most promising new child, or immigrant if mixed, and which of them it is."""
        belief = believe(history, self._kernels)
        units = belief.encoding.units(litter)
        if mixed:
            immigrants = make_candidates(belief.encoding, belief.ranked, IMMIGRANTS, rng)
            units = np.concatenate([units, immigrants])
        fresh = belief.fresh(units)
        chosen = int(fresh[screen(belief, units[fresh], None, rng)])
        if chosen < len(litter):
            return litter[chosen], "litter"
        return belief.values(units[chosen]), "immigrant"

    def _refine(self, study: Study, trial: FrozenTrial, history: History) -> tuple[Params, str]:
        """Return the configuration to evaluate, and who had a say."""
        if not history.space or len(history.observations) < 2:
            return {}, "random"
        rng = self._stream(study, trial, "thompson")
        belief = believe(history, self._kernels)
        drafted = make_narrowed(belief.encoding, belief.ranked, COUNTS, rng)
        candidates = belief.shortlist(drafted[belief.fresh(drafted)])
        learner = self._trained(belief)
        chosen = candidates[screen(belief, candidates, learner, rng)]
        why = "thompson" if learner is None else "thompson + meta-learner"
        return belief.values(chosen), why

    def _trained(self, belief: Belief) -> TrainedMetaLearner | None:
        """Return the meta-learner if it may be trusted."""
        size = fit_size(len(belief.targets))
        if size < MIN_TO_LEARN:
            return None
        targets = warp(belief.losses[:size])
        rows = spread_rows(targets, MAX_LEARNER_ROWS)
        encoding, units, targets = belief.encoding, belief.units[rows], targets[rows]
        trained = self._learners.of(
            lambda: self._learner.fit_encoded(encoding, units, targets), units, targets
        )
        return trained if trained.is_trusted else None

    def _stream(self, study: Study, trial: FrozenTrial, purpose: str) -> np.random.Generator:
        return stream(self._entropy, study, trial, purpose)

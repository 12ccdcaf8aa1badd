"""Genetic exploration, then a Thompson bandit with a meta-learner where it was promising."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.samplers._cost import checked_cost
from optuna_evo.samplers._ga._sampler import GASampler
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._history import read_space
from optuna_evo.samplers._retries import has_places
from optuna_evo.samplers._retries import place_of
from optuna_evo.samplers._stage import ThompsonStage
from optuna_evo.samplers._streams import entropy
from optuna_evo.samplers._streams import stream
from optuna_evo.samplers._thompson import check_startup
from optuna_evo.samplers._thompson import draw_uniform
from optuna_evo.samplers._threads import one_blas_thread


__all__ = ["HybridSampler"]

Params = dict[str, Any]


class HybridSampler(BaseSampler):
    """Explore with a genetic algorithm, then refine with a screened Thompson bandit.

    Phase 1, the first `population_size * n_generations` trials, is a `GASampler`: tournaments,
    elites, crossover, mutation by type, and numbered generations. Generation 0 begins with a
    design that covers the space and each of its branches; from `n_startup_trials` results on a
    posterior over all of them proposes the rest. Later, each pair of parents has `n_offspring`
    children, and their slot is given to the one with the highest expected improvement. In all but
    the first slot of a generation the offspring compete with candidates: configurations from the
    whole space, and steps from the best found so far, which may be younger than the parents.

    Phase 2 is such candidates alone. Expected improvement is climbed from the best of them by
    steps that get smaller; while it deserves trust, the meta-learner has a share in what is
    expected. Every third trial is a draw from the posterior near the best. Where different
    configurations gave exactly the best value, three trials of four look elsewhere, and the longer
    nothing was better, the farther from all results they go.

    Constraints (`trial.set_constraint`) order parents, feasible ones first, and elites; expected
    improvement counts where they are met.

    Which part proposed a trial is its user attribute `optuna_evo.attributes.PROPOSED_BY`:
    "genetic 0: design", "genetic 2: offspring", "genetic 2: candidate", "thompson" or
    "thompson + meta-learner". All state is in the study, as in `GASampler` and `ThompsonSampler`:
    phases, parents and draws are a function of the seed and the trials before. Membership of the
    population is that of `GASampler`, results are read as by `ThompsonSampler`.

    Args:
        population_size:
            Number of trials per generation, at least 2.
        n_generations:
            Number of generations of phase 1, at least 1; with 1 there is no breeding.
        n_startup_trials:
            Number of complete trials from which on the posterior proposes in generation 0, at
            least 1.
        tournament_size:
            Number of candidates among which the best becomes a parent, at least 1.
        n_elites:
            Number of best earlier trials that stay among the parents.
        n_offspring:
            Number of children of a pair of which one is evaluated, at least 1; 1 is the plain
            genetic algorithm, without other candidates.
        crossover_prob:
            Probability that a child has two parents, in [0, 1].
        crossover:
            "uniform" or "single_point", as in `GASampler`.
        mutation_prob:
            Probability that a number mutates, in [0, 1].
        mutation_scale:
            Size of a mutation in standard deviations of a uniform draw from the (log) range, > 0.
            Offspring are screened, so it may be larger than where every child is evaluated.
        flag_prob:
            Probability that a categorical parameter changes, in [0, 1].
        min_correlation:
            Rank correlation on trials it has not seen from which the meta-learner is trusted, in
            [-1, 1]; 1 leaves it out.
        cost:
            What a trial costs: a user attribute with a positive number, or "seconds", its
            duration. Then what counts is the expected improvement divided by the root of the
            predicted cost; trials without it tell nothing of cost. None: all cost the same.
        first:
            Configurations of the first trials, such as the defaults of a library:
            `[{"lr": 1e-3}]`. Parameters that one does not name are those of the design.
        seed:
            Seed of all draws; None takes a new one.
        litter_size:
            The name of `n_offspring` in specs that earlier versions stored.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.
        UsageError: If a value of `first` is not in the range of its parameter.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> from optuna_evo.attributes import PROPOSED_BY
        >>> study = optuna.create_study(sampler=HybridSampler(seed=1))
        >>> study.optimize(lambda t: (t.suggest_float("x", -1, 1) - 0.3) ** 2, n_trials=35)
        >>> study.best_value < 1e-3, PROPOSED_BY.read(study.trials[0].user_attrs)
        (True, 'genetic 0: design')
    """

    def __init__(
        self,
        *,
        population_size: int = 10,
        n_generations: int = 3,
        n_startup_trials: int = 5,
        tournament_size: int = 4,
        n_elites: int = 3,
        n_offspring: int = 50,
        crossover_prob: float = 0.9,
        crossover: Literal["uniform", "single_point"] = "uniform",
        mutation_prob: float = 0.35,
        mutation_scale: float = 1.0,
        flag_prob: float = 0.25,
        min_correlation: float = 0.5,
        cost: str | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
        litter_size: int | None = None,
    ) -> None:
        n_offspring = n_offspring if litter_size is None else litter_size
        if n_offspring < 1:
            raise ValueError(
                f"`n_offspring` must be at least 1, but got {n_offspring=}. "
                "1 evaluates every child."
            )
        check_startup(n_startup_trials)
        self._genetic = GASampler(
            population_size=population_size,
            n_generations=n_generations,
            tournament_size=tournament_size,
            n_elites=n_elites,
            crossover_prob=crossover_prob,
            crossover=crossover,
            mutation_prob=mutation_prob,
            mutation_scale=mutation_scale,
            flag_prob=flag_prob,
            first=first,
            seed=seed,
        )
        self._stage = ThompsonStage(min_correlation=min_correlation)
        self._n_genetic = population_size * n_generations
        self._n_offspring = n_offspring
        self._cost = checked_cost(cost)
        self._n_startup_trials = n_startup_trials
        self._n_first = len(first)
        self._entropy = entropy(seed)

    def reseed_rng(self) -> None:
        """Do nothing: each trial has its own stream, whoever asks for it."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial a slot of the population during phase 1."""
        self._raise_error_if_multi_objective(study)
        if self._is_genetic(study, trial):
            self._genetic.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every parameter that a member of the population or finished trial has had."""
        self._raise_error_if_multi_objective(study)
        if self._is_genetic(study, trial):
            return self._genetic.infer_relative_search_space(study, trial)
        return read_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a child in phase 1, a refined configuration in phase 2."""
        self._raise_error_if_multi_objective(study)
        history = read_history(study, trial, self._cost).within(search_space)
        with one_blas_thread():
            if self._is_genetic(study, trial):
                params, proposed_by = self._explore(study, trial, history)
            else:
                rng = self._stream(study, trial, "thompson")
                params, proposed_by = self._stage.propose(history, rng)
        study._storage.set_trial_user_attr(trial._trial_id, PROPOSED_BY.key, proposed_by)
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
            return self._genetic.sample_independent(study, trial, param_name, param_distribution)
        rng = self._stream(study, trial, f"independent/{param_name}")
        return draw_uniform(param_name, param_distribution, rng)

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Return the generation of a trial of phase 1."""
        return self._genetic.get_trial_generation(study, trial)

    def _is_genetic(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial belongs to phase 1: failed trials leave room for others."""
        if trial.number < self._n_genetic:
            return True
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        return not has_places(trials, place_of(trial), self._n_genetic)

    def _explore(self, study: Study, trial: FrozenTrial, history: History) -> tuple[Params, str]:
        """Return the child to evaluate, and where it comes from."""
        assignment = self._genetic.assignment(study, trial)
        offspring = self._genetic.offspring(study, trial, self._n_offspring)
        child: Params
        child, origin = (offspring[0], "offspring") if offspring else ({}, "design")
        has_begun = (
            history.n_complete >= self._n_startup_trials and assignment.slot >= self._n_first
        )
        if self._n_offspring > 1 and history.space and (offspring or has_begun):
            # "litter" is part of the stream's key: another word would be another stream
            rng = self._stream(study, trial, "litter")
            # the first slot is a child's, whatever the posterior expects of it
            mixed = assignment.slot > 0 or not offspring
            child, origin = self._stage.choose(history, offspring, rng, with_candidates=mixed)
            self._genetic.propose(study, trial, child)
        return child, f"genetic {assignment.generation}: {origin}"

    def _stream(self, study: Study, trial: FrozenTrial, purpose: str) -> np.random.Generator:
        return stream(self._entropy, study, trial, purpose)

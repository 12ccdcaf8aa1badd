"""A genetic algorithm for conditional define-by-run spaces.

Selection, rates and list operators follow "Evolving Deep Learning Optimizers"
(arXiv:2512.11853): tournaments, elites, structural crossover, annealed mutation.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
import secrets
from typing import Any
from typing import Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_evo.attributes import GA_ASSIGNMENT
from optuna_evo.attributes import GA_GENERATION
from optuna_evo.attributes import REPETITION
from optuna_evo.samplers._design import Start
from optuna_evo.samplers._first import read_first
from optuna_evo.samplers._ga._assignment import SlotAssignment
from optuna_evo.samplers._ga._breeding import child
from optuna_evo.samplers._ga._breeding import with_parents
from optuna_evo.samplers._ga._cache import PopulationCache
from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._ga._lists import check_lists
from optuna_evo.samplers._ga._options import check_elites
from optuna_evo.samplers._ga._options import check_operators
from optuna_evo.samplers._ga._options import check_sizes
from optuna_evo.samplers._ga._population import Population
from optuna_evo.samplers._ga._ways import ways
from optuna_evo.samplers._slots import settle
from optuna_evo.samplers._streams import entropy


__all__ = ["GASampler"]

Params = dict[str, Any]


class GASampler(BaseGASampler):
    """A genetic algorithm whose population lives in the study.

    It serves any conditional space. Numbers are mixed and mutated in log space where the space is
    logarithmic, and variable-length lists (`n_layers`, `units_0`, `units_1`, ...) are crossed and
    changed as lists. Generation 0 is a design: each choice of a category equally often, numbers
    evenly over their ranges, in each branch. After it there are two ways:

    * "annealed", the default: parents are the generation before and the elites, and mutation rates
      fall over `n_generations`, as published.
    * "adaptive": parents are the best trials of each structure, which is what categories say.
      Items of lists are matched by kind, their categories. A few numbers of a child move, by one
      step size: most are near those that have lately made a child better than its mother, others
      of any size. A parameter that neither parent has begins with its value in a good trial. In
      every second slot, of `n_offspring` such children the one is evaluated that a Gaussian
      process on all trials before the generation expects to improve most.

    Nothing but a cache is kept in the sampler. A trial's parameters are a function of the seed,
    its slot in the population and its parents. So a study goes on in any process exactly where
    it stopped, and several workers with the same seed share a population: every slot of a
    generation is taken once. With several workers a new generation starts while the last trials
    of the old one run; its parents are those that have finished. With one worker, or batches that
    end where a generation ends, runs are reproducible.

    Who is a member of the population:

    * Complete trials with a finite value. Infinite values are no parents, nor are values that are
      as good as infinite, such as `sys.float_info.max`.
    * Pruned trials, behind all complete ones and among themselves by the last reported value,
      because values at different steps do not compare; last of all those whose last value is
      missing, NaN or infinite. They are never elites.
    * Trials that violate a constraint (`trial.set_constraint`) rank behind feasible ones of their
      kind, the smaller total violation first.
    * Failed trials (also those of value NaN) are not. Their slot is given to another child.
    * Enqueued trials take a slot of the current generation.
    * Trials added before the first ask are generation 0 (the best `n_startup_trials` of them);
      trials added later, and those of other samplers, are extra members of the generation that
      runs at the time.

    Args:
        population_size:
            Number of trials per generation, from 2 to 100,000; None: 50, adaptive 10. Another size
            than the study had so far applies from the next generation on.
        n_startup_trials:
            Number of random trials, generation 0, from 2 to 100,000; None: the population size,
            adaptive three times that.
        n_generations:
            Generation at which the mutation rates have fallen to one half, annealed only; None:
            50. No limit: later generations keep the low rates.
        tournament_size:
            Number of candidates among which the best becomes a parent, at least 1; None: 4.
        n_elites:
            Number of best earlier trials that are evaluated again if `reevaluate_elites`;
            annealed, that stay among the parents in any case.
        crossover_prob:
            Probability that a child has two parents, in [0, 1]; None: 0.9, adaptive 0.6.
        crossover:
            "uniform" takes every value from either parent, "single_point" (annealed only) those up
            to a random one, by name, from one parent and the others from the other. Annealed,
            lists are crossed by cut and splice or item by item.
        mutation_prob:
            Probability that a number mutates, in [0, 1], annealed only; None: 0.35.
        mutation_scale:
            Size of a mutation in standard deviations of a uniform draw from the (log) range, > 0,
            annealed only; None: 0.3.
        structure_prob:
            Probability that a list gains, loses or renews an item, in [0, 1]; None: 0.15.
        flag_prob:
            Probability that a categorical parameter changes, in [0, 1]; None: 0.1, adaptive 0.06.
        lists:
            "auto" finds lists in the trials: an integer parameter and families of names whose
            indices count from 0 (or 1) up to it. A mapping declares them, as in
            `{"n_terms": ("term_{i}", "alpha_{i}")}`; `{}` declares that there are none.
        reevaluate_elites:
            Evaluate the elites again in the first slots of each generation, for noisy objectives.
            `REPETITION.read(trial.user_attrs, 0)`, with `optuna_evo.attributes.REPETITION`, is
            the number of times that the parameters of a trial were evaluated before, by which the
            objective should shift its seed. Equal parameters are ranked by the mean of their
            values.
        first:
            Configurations of the first slots of generation 0, such as the defaults of a library:
            `[{"lr": 1e-3}]`. Parameters that one does not name are those of the design.
        n_offspring:
            Number of children of which one is evaluated, at least 1, adaptive only; None: 24. 1
            leaves out the process: an ask then takes 0.8 ms at 1,000 trials, not up to 5.
        operators:
            "annealed" or "adaptive" (see above); None: the way in which the study was begun.
        seed:
            Seed of the random numbers; None draws a new one for every trial.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.
        UsageError: If a value of `first` is not in the range of its parameter.

    Example:
        >>> import optuna
        >>> from optuna_evo.samplers import GASampler
        >>> def objective(trial):
        ...     n_layers = trial.suggest_int("n_layers", 1, 4)
        ...     return sum(trial.suggest_float(f"width_{i}", 0, 1) for i in range(n_layers))
        >>> study = optuna.create_study(sampler=GASampler(population_size=10, seed=0))
        >>> study.optimize(objective, n_trials=30)
    """

    def __init__(
        self,
        *,
        population_size: int | None = None,
        n_startup_trials: int | None = None,
        n_generations: int | None = None,
        tournament_size: int | None = None,
        n_elites: int = 3,
        crossover_prob: float | None = None,
        crossover: Literal["uniform", "single_point"] = "uniform",
        mutation_prob: float | None = None,
        mutation_scale: float | None = None,
        structure_prob: float | None = None,
        flag_prob: float | None = None,
        lists: Literal["auto"] | Mapping[str, Sequence[str]] = "auto",
        reevaluate_elites: bool = False,
        first: Sequence[Mapping[str, Any]] = (),
        n_offspring: int | None = None,
        operators: Literal["adaptive", "annealed"] | None = None,
        seed: int | None = None,
    ) -> None:
        check_sizes(
            population_size=population_size,
            n_startup_trials=n_startup_trials,
            n_generations=n_generations,
            tournament_size=tournament_size,
            n_elites=n_elites,
            n_offspring=n_offspring,
            seed=seed,
        )
        check_operators(
            {
                "crossover_prob": crossover_prob,
                "mutation_prob": mutation_prob,
                "structure_prob": structure_prob,
                "flag_prob": flag_prob,
            },
            mutation_scale=mutation_scale,
            crossover=crossover,
            operators=operators,
            n_generations=n_generations,
        )
        if isinstance(lists, str):
            if lists != "auto":
                raise ValueError(f'`lists` must be "auto" or a mapping, {lists=}.')
        else:
            check_lists(lists)
        self._ways = ways(
            operators,
            population_size=population_size,
            n_startup_trials=n_startup_trials,
            n_generations=n_generations,
            tournament_size=tournament_size,
            n_elites=n_elites,
            crossover_prob=crossover_prob,
            single_point=crossover == "single_point",
            mutation_prob=mutation_prob,
            mutation_scale=mutation_scale,
            structure_prob=structure_prob,
            flag_prob=flag_prob,
            n_offspring=n_offspring,
        )
        check_elites(n_elites, self._ways[0], reevaluate_elites=reevaluate_elites)
        super().__init__(population_size=self._ways[0].population_size)
        self._lists = lists if isinstance(lists, str) else dict(lists)
        self._reevaluate_elites = reevaluate_elites
        self._seed = seed
        self._start = Start(entropy(seed), read_first(first, at_most=population_size))
        self._cache = PopulationCache()

    def reseed_rng(self) -> None:
        """Do nothing: the random numbers belong to the slots, not to the sampler."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its slot in the population and choose its parents."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            population = self._up_to_date(study)
            if population.assignment(trial.number) is None:
                self._assign(study, trial, population)
            if not trial.params:  # nothing was drawn for its slot yet, so it may still move
                settle(
                    lambda: self._up_to_date(study).must_move(trial.number),
                    lambda: self._assign(study, trial, self._up_to_date(study)),
                )

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the union of the parameters that the members have shown."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            population, _ = self._find(study, trial)
            return dict(population.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the child that belongs to the trial's slot; nothing in generation 0."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            genes = self._genes(*self._find(study, trial), trial.number)
        return {name: value for name, value in genes.items() if name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the child's value moved into a changed range, or a draw; first the design's."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            population, assignment = self._find(study, trial)
            genes = self._genes(population, assignment, trial.number)
        if param_name in genes and is_number(param_distribution):
            return fit(genes[param_name], param_distribution)
        if assignment.generation == 0 and assignment.attempt == 0:
            return self._start.value(
                study.study_name, assignment.slot, trial, param_name, param_distribution
            )
        return draw(assignment.uniform(param_name), param_distribution)

    def assignment(self, study: Study, trial: FrozenTrial) -> SlotAssignment:
        """Return the slot and the parents of a running trial."""
        with self._cache.lock:
            return self._find(study, trial)[1]

    def offspring(self, study: Study, trial: FrozenTrial, n: int) -> list[Params]:
        """Return n children of a running trial's parents; none where it has no parents.

        With n = 1 this is the child that `sample_relative` proposes. Whoever knows better than
        chance which of more is promising says so by `propose`.
        """
        with self._cache.lock:
            population, assignment = self._find(study, trial)
            if not assignment.parents:
                return []
            # Later attempts at a slot are other children of the same parents: so are siblings.
            first = assignment.attempt * n
            return [
                child(population, replace(assignment, attempt=attempt), self._lists)
                for attempt in range(first, first + n)
            ]

    def propose(self, study: Study, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """Let a running trial have these parameters in the place of its child."""
        with self._cache.lock:
            population, _ = self._find(study, trial)
            population.genes[trial.number] = dict(params)

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Return the generation of a trial that this sampler was asked for."""
        generation = GA_GENERATION.read(trial.system_attrs)
        if generation is None:
            generation = self.assignment(study, trial).generation
        return int(generation)

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the members of a generation in the order of their slots, pruned ones too."""
        with self._cache.lock:
            return [member.trial for member in self._up_to_date(study).members(generation)]

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the candidates for parents of a generation: the members before it and elites."""
        with self._cache.lock:
            return [member.trial for member in self._up_to_date(study).pool(generation)]

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return `select_parent`, which needs no cache in the study."""
        return self.select_parent(study, generation)

    def _up_to_date(self, study: Study) -> Population:
        return self._cache.up_to_date(study, self._ways)

    def _find(self, study: Study, trial: FrozenTrial) -> tuple[Population, SlotAssignment]:
        """Return the population and the trial's assignment; the storage is read if need be."""
        population = self._cache.known(study)
        known = population.assignment(trial.number) if population is not None else None
        if population is not None and known is not None:
            return population, known
        population = self._up_to_date(study)
        assignment = population.assignment(trial.number)
        return population, assignment or self._assign(study, trial, population)

    def _assign(self, study: Study, trial: FrozenTrial, population: Population) -> SlotAssignment:
        """Give a trial the next slot, and write that to the storage."""
        generation, slot, attempt = population.next_slot(trial.number)
        assignment = SlotAssignment(
            generation=generation,
            slot=slot,
            n_slots=population.n_slots(generation),
            attempt=attempt,
            entropy=secrets.randbits(32) if self._seed is None else self._seed,
            study=population.study,
            operators=population.way.operators,
        )
        storage, trial_id = study._storage, trial._trial_id
        before = population.assignment(trial.number)
        if before is not None and before.repeats is not None:  # it moves from an elite's slot
            storage.set_trial_user_attr(trial_id, REPETITION.key, 0)
            trial.user_attrs[REPETITION.key] = 0
        elites = population.elites(generation) if self._reevaluate_elites else []
        if slot < len(elites):
            elite = elites[slot].trial
            assignment = replace(assignment, repeats=elite.number)
            n_evaluations = population.n_evaluations(elite)
            storage.set_trial_user_attr(trial_id, REPETITION.key, n_evaluations)
            trial.user_attrs[REPETITION.key] = n_evaluations
        elif pool := population.pool(generation):
            assignment = with_parents(population, pool, assignment, self._lists)
        # The assignment last: a trial that has one has all, also if its worker dies in between.
        storage.set_trial_system_attr(trial_id, self._get_generation_key(), generation)
        storage.set_trial_system_attr(trial_id, GA_ASSIGNMENT.key, assignment.to_attr())
        population.assign(trial.number, assignment)
        return assignment

    def _genes(self, population: Population, assignment: SlotAssignment, number: int) -> Params:
        """Return what a trial is to have; empty where it has no parents."""
        genes = population.genes.get(number)
        if genes is None:
            genes = population.genes[number] = child(population, assignment, self._lists)
        return genes

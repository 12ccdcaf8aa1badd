"""A genetic algorithm for conditional define-by-run spaces.

Selection, rates and list operators follow "Evolutionary discovery of optimizers"
(arXiv:2512.11853): tournaments, elites, structural crossover, annealed mutation.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
import secrets
import threading
from typing import Any
from typing import Literal
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._ga._lists import check_lists
from optuna_evo.samplers._ga._lists import declared_lists
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._operators import anneal
from optuna_evo.samplers._ga._operators import breed
from optuna_evo.samplers._ga._operators import Rates
from optuna_evo.samplers._ga._operators import select
from optuna_evo.samplers._ga._population import Population
from optuna_evo.samplers._ga._population import TICKET_KEY
from optuna_evo.samplers._ga._ticket import Ticket


__all__ = ["GASampler"]

STUDY_KEY = "GASampler:study"
REEVALUATION_KEY = "reevaluation"


class GASampler(BaseGASampler):
    """A genetic algorithm whose population lives in the study.

    It serves any conditional space. Numbers are mixed and mutated in log space where the space is
    logarithmic, and variable-length lists (`n_layers`, `units_0`, `units_1`, ...) are crossed and
    changed as lists.

    Nothing but a cache is kept in the sampler. A trial's parameters are a function of the seed,
    its place in the population and its parents. So a study goes on in any process exactly where
    it stopped, and several workers with the same seed share a population: every place of a
    generation is taken once. With several workers a new generation starts while the last trials
    of the old one run; its parents are those that have finished. With one worker, or batches that
    end where a generation ends, runs are reproducible.

    Who is a member of the population:

    * Complete trials with a finite value. Infinite values are no parents.
    * Pruned trials, behind all complete ones and among themselves by the last reported value,
      because values at different steps do not compare; last of all those whose last value is
      missing, NaN or infinite. They are never elites.
    * Failed trials (also those told NaN) are not. Their place is given to another child.
    * Enqueued trials take a place in the current generation.
    * Trials added before the first ask found generation 0 (the best `population_size` of them);
      trials added later, and those of other samplers, are extra members of the generation that
      runs at the time.

    Args:
        population_size:
            Number of trials a generation, at least 2. Another size than the study had so far
            applies from the next generation on.
        n_generations:
            Generation at which the mutation rates have fallen to one half. No limit: later
            generations keep the low rates.
        tournament_size:
            Number of candidates among which the best becomes a parent, at least 1.
        n_elites:
            Number of best earlier trials that stay among the parents without being evaluated
            again.
        crossover_prob:
            Probability that a child has two parents, in [0, 1].
        mutation_prob:
            Probability that a number mutates, in [0, 1].
        mutation_scale:
            Size of a mutation in standard deviations of a uniform draw from the (log) range, > 0.
        structure_prob:
            Probability that a list gains, loses or renews an item, in [0, 1].
        flag_prob:
            Probability that a categorical parameter changes, in [0, 1].
        lists:
            "auto" finds lists in the trials: an integer parameter and families of names whose
            indices count from 0 (or 1) up to it. A mapping declares them, as in
            `{"n_terms": ("term_{i}", "alpha_{i}")}`; `{}` declares that there are none.
        reevaluate_elites:
            Evaluate the elites again in the first slots of each generation, for noisy objectives.
            Such a trial has the user attribute "reevaluation", the number of times that its
            parameters were evaluated before, by which the objective should shift its seed. Equal
            parameters are ranked by the mean of their values.
        seed:
            Seed of the random numbers; None draws a new one for every trial.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.

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
        population_size: int = 50,
        n_generations: int = 50,
        tournament_size: int = 4,
        n_elites: int = 3,
        crossover_prob: float = 0.9,
        mutation_prob: float = 0.35,
        mutation_scale: float = 0.3,
        structure_prob: float = 0.15,
        flag_prob: float = 0.1,
        lists: Literal["auto"] | Mapping[str, Sequence[str]] = "auto",
        reevaluate_elites: bool = False,
        seed: int | None = None,
    ) -> None:
        _check_at_least("population_size", population_size, 2)
        _check_at_least("n_generations", n_generations, 1)
        _check_at_least("tournament_size", tournament_size, 1)
        _check_at_least("n_elites", n_elites, 0)
        _check_probability("crossover_prob", crossover_prob)
        _check_probability("mutation_prob", mutation_prob)
        _check_probability("structure_prob", structure_prob)
        _check_probability("flag_prob", flag_prob)
        if not 0.0 < mutation_scale < float("inf"):
            raise ValueError(f"`mutation_scale` must be positive and finite, {mutation_scale=}.")
        if reevaluate_elites and n_elites >= population_size:
            raise ValueError(
                "`n_elites` must be below `population_size` to evaluate elites again, "
                f"{n_elites=}, {population_size=}."
            )
        if seed is not None:
            _check_at_least("seed", seed, 0)
        if isinstance(lists, str):
            if lists != "auto":
                raise ValueError(f'`lists` must be "auto" or a mapping, {lists=}.')
        else:
            check_lists(lists)
        super().__init__(population_size=population_size)
        self._n_generations = n_generations
        self._tournament_size = tournament_size
        self._n_elites = n_elites
        self._rates = Rates(
            crossover=crossover_prob,
            number=mutation_prob,
            scale=mutation_scale,
            structure=structure_prob,
            flag=flag_prob,
        )
        self._lists = lists if isinstance(lists, str) else dict(lists)
        self._reevaluate_elites = reevaluate_elites
        self._seed = seed
        self._cache = _Cache()

    def reseed_rng(self) -> None:
        """Do nothing: the random numbers belong to the places, not to the sampler."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its place in the population and choose its parents."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            population = self._up_to_date(study)
            if population.ticket(trial.number) is None:
                self._issue(study, trial, population)

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
        """Return the child that belongs to the trial's place; nothing in generation 0."""
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
        """Return the child's value moved into a changed range, or else a uniform draw."""
        self._raise_error_if_multi_objective(study)
        with self._cache.lock:
            population, ticket = self._find(study, trial)
            genes = self._genes(population, ticket, trial.number)
        if param_name in genes and is_number(param_distribution):
            return fit(genes[param_name], param_distribution)
        return draw(ticket.uniform(param_name), param_distribution)

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Return the generation of a trial that this sampler was asked for."""
        if self._get_generation_key() in trial.system_attrs:
            return int(trial.system_attrs[self._get_generation_key()])
        with self._cache.lock:
            return self._find(study, trial)[1].generation

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
        """Return the population of the study as its trials are now."""
        storage, study_id = study._storage, study._study_id
        # Hyperband shows a sampler the trials of one bracket only; a population has them all.
        trials = storage.get_all_trials(study_id, deepcopy=False)
        populations = self._cache.populations(storage)
        population = populations.get(study_id)
        size = self._population_size
        assert size is not None
        if population is None or population.size != size or not population.is_of(trials):
            population = populations[study_id] = Population(
                study=_origin(study),
                maximize=study.direction == StudyDirection.MAXIMIZE,
                size=size,
                n_elites=self._n_elites,
            )
        population.update(trials, storage.get_trial)
        return population

    def _find(self, study: Study, trial: FrozenTrial) -> tuple[Population, Ticket]:
        """Return the population and the trial's ticket, without a look at the storage if known."""
        population = self._cache.populations(study._storage).get(study._study_id)
        ticket = population.ticket(trial.number) if population is not None else None
        if population is None or ticket is None:
            population = self._up_to_date(study)
            ticket = population.ticket(trial.number) or self._issue(study, trial, population)
        return population, ticket

    def _issue(self, study: Study, trial: FrozenTrial, population: Population) -> Ticket:
        """Issue the ticket of a trial and write it to the storage."""
        generation, slot, attempt = population.place(trial.number)
        ticket = Ticket(
            generation=generation,
            slot=slot,
            n_slots=population.n_slots(generation),
            attempt=attempt,
            entropy=secrets.randbits(32) if self._seed is None else self._seed,
            study=population.study,
        )
        pool = population.pool(generation)
        elites = population.elites(generation) if self._reevaluate_elites else []
        if slot < len(elites):
            elite = elites[slot].trial
            ticket = replace(ticket, repeats=elite.number)
            n_evaluations = population.n_evaluations(elite)
            study._storage.set_trial_user_attr(trial._trial_id, REEVALUATION_KEY, n_evaluations)
            trial.user_attrs[REEVALUATION_KEY] = n_evaluations
        elif pool:
            order = sorted(range(len(pool)), key=lambda k: pool[k].rank)
            ranks = [0] * len(pool)
            for rank, k in enumerate(order):
                ranks[k] = rank
            chosen = select(ranks, self._tournament_size, ticket.selection_rng())
            ticket = replace(ticket, parents=tuple(pool[k].trial.number for k in chosen))
        storage, trial_id = study._storage, trial._trial_id
        # the ticket last: who has one has all, also if a worker dies between the two writes
        storage.set_trial_system_attr(trial_id, self._get_generation_key(), generation)
        storage.set_trial_system_attr(trial_id, TICKET_KEY, ticket.to_attr())
        population.admit(trial.number, ticket)
        return ticket

    def _genes(self, population: Population, ticket: Ticket, number: int) -> dict[str, Any]:
        """Return the child of a ticket; empty where it has no parents."""
        genes = population.genes.get(number)
        if genes is None:
            genes = population.genes[number] = self._child(population, ticket)
        return genes

    def _child(self, population: Population, ticket: Ticket) -> dict[str, Any]:
        if ticket.repeats is not None:
            return dict(population.params(ticket.repeats))
        if not ticket.parents:
            return {}
        mother, father = (population.params(number) for number in ticket.parents)
        return breed(
            mother,
            father,
            space=population.space,
            specs=self._specs(population, ticket.generation),
            rates=anneal(self._rates, ticket.generation, self._n_generations),
            rng=ticket.variation_rng(),
        )

    def _specs(self, population: Population, generation: int) -> tuple[ListSpec, ...]:
        if isinstance(self._lists, str):
            return population.lists(generation)
        return declared_lists(self._lists, population.space)


class _Cache:
    """The populations of studies in use; copies and pickles of the sampler start without."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._by_storage: WeakKeyDictionary[BaseStorage, dict[int, Population]] = (
            WeakKeyDictionary()
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Cache, ()

    def populations(self, storage: BaseStorage) -> dict[int, Population]:
        return self._by_storage.setdefault(storage, {})


def _origin(study: Study) -> str:
    """Return the name under which the study's tickets are issued.

    A copy of a study goes on with the tickets of the original, whatever its name. Trials that were
    added from another study keep foreign tickets, which mean nothing here.
    """
    storage, study_id = study._storage, study._study_id
    origin = storage.get_study_system_attrs(study_id).get(STUDY_KEY)
    if origin is None:
        origin = study.study_name
        storage.set_study_system_attr(study_id, STUDY_KEY, origin)
    return str(origin)


def _check_at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}, got {value}.")


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"`{name}` must be a probability in [0, 1], got {value}.")

"""Population-based training as an Optuna sampler.

Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv:1711.09846), with the
recurrence and the annealing of AEON-GPT.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Literal
from typing import Self

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_evo.samplers._first import fitted
from optuna_evo.samplers._first import read_first
from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._recurrence._options import anneal_factors
from optuna_evo.samplers._recurrence._options import check_options
from optuna_evo.samplers._recurrence._parents import Selection
from optuna_evo.samplers._recurrence._recurrence import Recurrence
from optuna_evo.samplers._recurrence._segment import DEFAULTS
from optuna_evo.samplers._recurrence._segment import must_move
from optuna_evo.samplers._recurrence._segment import origin_of
from optuna_evo.samplers._recurrence._segment import read_assignment
from optuna_evo.samplers._recurrence._segment import SegmentAssignment
from optuna_evo.samplers._recurrence._segment import write_assignment
from optuna_evo.samplers._recurrence._state import PopulationState
from optuna_evo.samplers._recurrence._step import StepSettings
from optuna_evo.samplers._slots import settle


__all__ = ["RecurrenceSampler"]


class RecurrenceSampler(BaseSampler):
    """Hyperparameters that evolve while a model trains.

    Each trial is one segment of training. It belongs to a member of a population and goes on from
    a parent trial: the member's previous segment or, for a poor member, the latest of a better
    one. `segment_of` says which, so that the parent's weights can be loaded. Its
    hyperparameters follow from the parent's by a recurrence:

        theta_{t+1} = rho_t * theta_t + (1 - rho_t) * theta_new
        theta_new   = f(theta_t, s_t) + eta_t,    T_{t+1} = cooling * T_t

    The better a segment ranks among those trained equally far, the nearer rho_t is to 1: good
    configurations are kept. f goes on in the direction of the last change when the loss then fell
    faster than in the other members, and back when it fell slower; where trials have the user
    attribute `grad_norm`, annealed parameters fall when it has grown. eta_t is Gaussian noise
    scaled by the temperature. Numbers are mixed on their own scale, logarithmic where the range
    is; a category is kept with probability rho_t and drawn anew else. First segments, and
    parameters that the parent did not have, are drawn from the whole range, and the first ones of
    all members cover it evenly.

    At first the members are rivals, then all of them train the best model in turn, with a tenth of
    the noise. Half of the rivals are dropped at a time, and those that are left go first: lineages
    get long, and few steps are spent on what will be dropped.

    There is no barrier: an ask takes the member that has waited longest. All state lies in the
    study. The random numbers are a function of the seed, its name, the member and its turn.

    Who takes part (see `plain` for trials that inherit no weights):

    * Complete trials with a finite value can be parents. Pruned and diverged trials (an infinite
      value, or the user attribute `diverged`) rank behind them and are no parents. Trials that
      violate a constraint (`trial.set_constraint`) rank behind feasible ones, the smaller
      violation first.
    * A failed segment is done again, with other noise; a retried copy of a trial is the same
      segment with the same hyperparameters.
    * Enqueued trials take the next slot, with the parameters they fix.
    * Added trials are no members: the best of them give first segments their hyperparameters.

    Args:
        population_size: Number of members, at least 2.
        retention:
            rho of a member in the middle of the ranking, in [0, 1]. The best has 1, the worst the
            square of this.
        temperature: Temperature of first segments, the scale of the noise.
        cooling:
            alpha, in (0, 1]: the factor of the temperature from a segment to the next of its
            lineage; None: 0.98.
        anneal:
            Names of float and integer parameters that fall during the study, such as the learning
            rate, on top of the recurrence and kept within their ranges. A mapping gives each name
            a factor of its own, in (0, 1].
        noise:
            Standard deviation of the noise at temperature 1, in units of a parameter's range.
        mutation_prob: Probability that a parameter gets noise in a segment.
        momentum:
            How much of its last change a parameter goes on by when that paid best, and goes back
            by when that paid worst.
        exploit_quantile:
            Share of the members, in [0, 0.5], that go on from one of as many best members at
            first. 0: all members go their own ways, always.
        n_rival_segments:
            Segments over which the members are rivals. None: always, as in population-based
            training.
        rivalry:
            "halving": half of the lineages are dropped at a time, until one is left. "linear":
            the share of members that exploit grows from segment to segment, and the share that is
            exploited shrinks. None: "halving", or "linear" in a study from before that.
        tolerance:
            How much worse than the best a segment that went on from it may be to take its place,
            in standard deviations of noise; at least 0. A third try ("halving") goes on.
        rule: "recurrence" as above, or "published"; see `published`.
        annealing:
            "cooldown": after the rivals' segments values fall by a power of the lineage's
            length (-0.2), in the second half of `n_trials` also linearly to 2 %. "geometric": by
            `cooling` in every segment, as the temperature. "every_10_rounds": see `published`.
            None: "cooldown" where `n_trials` is known and neither `cooling` nor factors are given;
            else, and in a study from before that, "geometric".
        n_trials:
            Trials that the study will have; a study of optuna_evo fills it in. In a short one
            fewer lineages begin, so that an eighth is dropped, but no fewer than four.
        first:
            Configurations of the first segments of as many members, such as what another training
            went best with. Parameters that they leave out are drawn.
        seed: Seed of the random numbers; None draws one for the study.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.
        UsageError: If a value of `first` is not in the range of its parameter.

    Example:
        >>> import optuna
        >>> from optuna_evo.attributes import PARENT
        >>> losses = {None: 1.0}
        >>> def objective(trial):
        ...     lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        ...     parent = PARENT.read(trial.user_attrs)  # whose weights one loads here
        ...     before = losses[parent]
        ...     losses[trial.number] = before * (1.0 - lr)  # ... and saves one's own
        ...     return losses[trial.number]
        >>> sampler = RecurrenceSampler(population_size=4, anneal=("lr",), seed=1)
        >>> study = optuna.create_study(study_name="toy", sampler=sampler)
        >>> study.optimize(objective, n_trials=40)
        >>> study.best_value < 0.5
        True
    """

    def __init__(
        self,
        *,
        population_size: int = 8,
        retention: float = 0.5,
        temperature: float = 1.0,
        cooling: float | None = None,
        anneal: Iterable[str] | Mapping[str, float] = (),
        noise: float = 0.05,
        mutation_prob: float = 1.0,
        momentum: float = 0.5,
        exploit_quantile: float = 0.25,
        n_rival_segments: int | None = 4,
        rivalry: Literal["halving", "linear"] | None = None,
        tolerance: float = 3.0,
        rule: Literal["recurrence", "published"] = "recurrence",
        annealing: Literal["cooldown", "geometric", "every_10_rounds"] | None = None,
        n_trials: int | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
    ) -> None:
        check_options(population_size=population_size, rule=rule, seed=seed)
        if annealing is None and (cooling is not None or isinstance(anneal, Mapping)):
            annealing = "geometric"
        cooling = 0.98 if cooling is None else cooling
        base = Recurrence(
            settings=StepSettings(
                retention=retention,
                mutation_prob=mutation_prob,
                noise=noise,
                momentum=momentum,
                anneal=anneal_factors(anneal, cooling),
                cooling=cooling,
            ),
            selection=Selection(exploit_quantile, n_rival_segments, tolerance, rivalry),
            is_published=rule == "published",
            annealing=annealing,
            temperature=temperature,
            n_trials=n_trials,
            n_first=len(first),
        )
        # with the defaults of old studies, and of new ones
        size = self._population_size = population_size
        self._rules: list[Recurrence] = [base.begun_with(d, size) for d in (1, DEFAULTS)]
        self._first = read_first(first, at_most=population_size)
        self._seed = seed

    @classmethod
    def published(
        cls,
        *,
        population_size: int = 10,
        mutation_rate: float = 0.2,
        recurrence_factor: float = 0.5,
        anneal: Iterable[str] = (),
        cooling: float | None = None,
        seed: int | None = None,
    ) -> Self:
        """Return the rule of AEON-GPT-RECURRENCE as published.

        With probability `mutation_rate` each number of a configuration is multiplied by 0.9 to
        1.1; else with `recurrence_factor` all of it stays; else each is multiplied by 0.95 to
        1.05. There is no selection: all members train one model in turn (`inherit = "shared"`).
        What `anneal` names is multiplied by exp(-1 / (1 + 0.1 · round)) after rounds 0, 10, 20, …,
        or with `cooling` by that in every segment.
        """
        return cls(
            population_size=population_size,
            retention=recurrence_factor,
            cooling=1.0 if cooling is None else cooling,
            anneal=anneal,
            annealing="every_10_rounds" if cooling is None else "geometric",
            mutation_prob=mutation_rate,
            exploit_quantile=0.0,
            rivalry="linear",
            rule="published",
            seed=seed,
        )

    @classmethod
    def plain(cls, *, population_size: int = 8, seed: int | None = None) -> Self:
        """Return a sampler for trials that inherit no weights: a search with shrinking steps."""
        return cls(
            population_size=population_size,
            noise=0.3,
            n_rival_segments=12,
            rivalry="linear",
            tolerance=0.0,
            seed=seed,
        )

    @property
    def population_size(self) -> int:
        """Number of members."""
        return self._population_size

    @property
    def n_lineages(self) -> int:
        """Number of lineages that begin in a new study."""
        return self._rules[-1].selection.n_lineages

    def reseed_rng(self) -> None:
        """Do nothing: the random numbers belong to the segments, not to the sampler."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its segment."""
        self._raise_error_if_multi_objective(study)
        origin = origin_of(study)
        population = self._population(study, origin)
        segment = read_assignment(trial, origin["name"])
        # a copy that Optuna made of a lost trial may come when its member has gone on without it
        if segment is None or population.is_shared(segment, trial.number):
            self._assign(study, trial, population, origin)
        elif trial.params:
            return
        settle(
            lambda: must_move(study, trial, origin["name"]),
            lambda: self._assign(study, trial, self._population(study, origin), origin),
        )

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are carried on, with the ranges they had."""
        self._raise_error_if_multi_objective(study)
        segment = self._segment(study, trial)
        if segment.source is None:
            return {}
        source = study._storage.get_all_trials(study._study_id, deepcopy=False)[segment.source]
        return {name: source.distributions[name] for name in segment.genes}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the hyperparameters of the trial's segment; nothing for a fresh start."""
        self._raise_error_if_multi_objective(study)
        genes = self._segment(study, trial).genes if search_space else {}
        return {
            name: distribution.to_external_repr(genes[name])
            for name, distribution in search_space.items()
            if name in genes
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value moved into a changed range, or else one from the whole range.

        Raises:
            ValueError: If a category is to be annealed, or the study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        if param_name in self._rules[0].settings.anneal and not is_number(param_distribution):
            raise ValueError(f"`{param_name}` cannot be annealed: it is a category, not a number.")
        segment = self._segment(study, trial)
        if not (segment.turn or segment.attempt) and segment.member < len(self._first):
            given = self._first[segment.member]
            if param_name in given:
                return fitted(given, segment.member, param_name, param_distribution)
        gene = segment.genes.get(param_name)
        if gene is not None and is_number(param_distribution):
            return fit(gene, param_distribution)
        n_parts = self._rule(origin_of(study)).selection.n_lineages
        return draw(segment.prior(param_name, n_parts), param_distribution)

    def _segment(self, study: Study, trial: FrozenTrial) -> SegmentAssignment:
        """Return the trial's segment; a trial that has none of this study is assigned one."""
        origin = origin_of(study)
        segment = read_assignment(trial, origin["name"])
        return segment or self._assign(study, trial, self._population(study, origin), origin)

    def _rule(self, origin: Mapping[str, Any]) -> Recurrence:
        return self._rules[int(origin.get("defaults", 1) > 1)]

    def _population(self, study: Study, origin: Mapping[str, Any]) -> PopulationState:
        return PopulationState(
            # Hyperband shows a sampler the trials of one bracket only; a population has them all
            study._storage.get_all_trials(study._study_id, deepcopy=False),
            study=origin["name"],
            maximize=study.direction == StudyDirection.MAXIMIZE,
            size=self._population_size,
            reread=study._storage.get_trial,
        )

    def _assign(
        self,
        study: Study,
        trial: FrozenTrial,
        population: PopulationState,
        origin: Mapping[str, Any],
    ) -> SegmentAssignment:
        """Give a trial the next slot, and write its segment to the storage."""
        entropy = origin["entropy"] if self._seed is None else self._seed
        segment = self._rule(origin).next_segment(
            population, trial.number, origin["name"], entropy
        )
        write_assignment(study, trial, segment)
        return segment

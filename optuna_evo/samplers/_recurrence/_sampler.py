"""Population-based training as an Optuna sampler.

Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv:1711.09846), with the
recurrence and the annealing of AEON-GPT.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import replace
import secrets
from typing import Any
from typing import Literal
from typing import Self

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._feedback import read_feedback
from optuna_evo.samplers._recurrence._lineup import Lineup
from optuna_evo.samplers._recurrence._options import annealing
from optuna_evo.samplers._recurrence._options import check_options
from optuna_evo.samplers._recurrence._parents import choose_parent
from optuna_evo.samplers._recurrence._parents import Selection
from optuna_evo.samplers._recurrence._segment import read_ticket
from optuna_evo.samplers._recurrence._segment import Ticket
from optuna_evo.samplers._recurrence._segment import TICKET_KEY
from optuna_evo.samplers._recurrence._step import published_step
from optuna_evo.samplers._recurrence._step import recurrent_step
from optuna_evo.samplers._recurrence._step import retained
from optuna_evo.samplers._recurrence._step import Rule


__all__ = ["RecurrenceSampler"]

STUDY_KEY = "RecurrenceSampler:study"
LEAST_NOISE = 0.1  # share of the noise that is left where there are no rivals to compare with


class RecurrenceSampler(BaseSampler):
    """Hyperparameters that evolve while a model trains.

    Each trial is one segment of training. It belongs to a member of a population and goes on from
    a parent trial: the member's previous segment or, for a poor member, the latest of a better
    one. `segment_of` says which, so that whoever trains can load the parent's weights. Its
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
    the noise: lineages get long, and few steps are spent on what will be dropped.

    There is no barrier: an ask takes the member that has waited longest. All state lies in the
    study, so any process can go on from any point, and several workers share a population. The
    random numbers are a function of the seed, the study's name, the member and its turn.

    Who takes part:

    * Complete trials with a finite value can be parents. Pruned and diverged trials (an infinite
      value, or the user attribute `diverged`) rank behind them and are no parents: such a member
      goes on from a better one.
    * A failed segment is done again, with other noise; a retried copy of a trial is the same
      segment with the same hyperparameters.
    * Enqueued trials take the next place, with the parameters they fix.
    * Added trials have no weights and are no members. The best of them give the first segments
      their hyperparameters to start the recurrence from.

    The defaults are for models whose weights are inherited; without weights, see `plain`.

    Args:
        population_size:
            Number of members, at least 2.
        retention:
            rho of a member in the middle of the ranking, in [0, 1]. The best member has rho = 1,
            the worst the square of this.
        temperature:
            Temperature of first segments, positive: the scale of the noise.
        cooling:
            alpha, in (0, 1]: the factor of the temperature from a segment to the next of its
            lineage.
        anneal:
            Names of float and integer parameters that cool with the temperature: on top of the
            recurrence their value is multiplied by `cooling` in every segment, and kept within its
            range. After t segments, a value that nothing else changed has been multiplied by
            T_t / T_0. A mapping gives each name a factor of its own, in (0, 1].
        noise:
            Standard deviation of the noise at temperature 1 in units of a parameter's range, at
            least 0.
        mutation_prob:
            Probability that a parameter gets noise in a segment.
        momentum:
            How much of its last change a parameter goes on by when that paid best, and goes back
            by when that paid worst; at least 0.
        exploit_quantile:
            Share of the members, in [0, 0.5], that go on from one of as many best members at
            first. 0: all members go their own ways, always.
        n_rival_segments:
            Segments over which the members are rivals: the share of members that exploit grows
            from segment to segment and the share that is exploited shrinks, until all members go
            on from the best. None: the shares stay as they are, as in population-based training.
        tolerance:
            How much worse than the best a segment that went on from it may be to take its place,
            in standard deviations of the loss's noise along the lineages; at least 0.
        rule:
            "recurrence" as above, or "published"; see `published`.
        seed:
            Seed of the random numbers; None draws one for the study.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.

    Example:
        >>> import optuna
        >>> from optuna_evo.samplers import RecurrenceSampler
        >>> losses = {None: 1.0}
        >>> def objective(trial):
        ...     lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        ...     before = losses[trial.user_attrs["parent"]]  # where one loads the parent's weights
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
        cooling: float = 0.98,
        anneal: Iterable[str] | Mapping[str, float] = (),
        noise: float = 0.05,
        mutation_prob: float = 1.0,
        momentum: float = 0.5,
        exploit_quantile: float = 0.25,
        n_rival_segments: int | None = 4,
        tolerance: float = 3.0,
        rule: Literal["recurrence", "published"] = "recurrence",
        seed: int | None = None,
    ) -> None:
        check_options(
            population_size=population_size, temperature=temperature, rule=rule, seed=seed
        )
        self._population_size = population_size
        self._temperature = temperature
        self._selection = Selection(exploit_quantile, n_rival_segments, tolerance)
        self._is_published = rule == "published"
        self._rule = Rule(
            retention=retention,
            mutation_prob=mutation_prob,
            noise=noise,
            momentum=momentum,
            anneal=annealing(anneal, cooling),
            cooling=cooling,
        )
        self._seed = seed

    @classmethod
    def published(
        cls,
        *,
        population_size: int = 8,
        cooling: float = 0.95,
        anneal: Iterable[str] = ("lr",),
        seed: int | None = None,
    ) -> Self:
        """Return the simple rule as published.

        A number is multiplied by 0.9 to 1.1 with probability 0.2; else it is kept with probability
        0.5; else it is multiplied by 0.95 to 1.05. The learning rate is annealed. There is no
        selection and no feedback: all members train one model in turn (`inherit = "shared"`).
        """
        return cls(
            population_size=population_size,
            retention=0.5,
            cooling=cooling,
            anneal=anneal,
            mutation_prob=0.2,
            exploit_quantile=0.0,
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
            tolerance=0.0,
            seed=seed,
        )

    @property
    def population_size(self) -> int:
        """Number of members."""
        return self._population_size

    def reseed_rng(self) -> None:
        """Do nothing: the random numbers belong to the segments, not to the sampler."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its segment."""
        self._raise_error_if_multi_objective(study)
        origin = self._origin(study)
        lineup = self._lineup(study, origin)
        ticket = read_ticket(trial, origin["name"])
        # a copy of a lost trial may come when its member has gone on without it
        if ticket is None or lineup.is_taken(ticket, trial.number):
            self._issue(study, trial, lineup, origin)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are carried on, with the ranges they had."""
        self._raise_error_if_multi_objective(study)
        ticket = self._ticket(study, trial)
        if ticket.source is None:
            return {}
        source = study._storage.get_all_trials(study._study_id, deepcopy=False)[ticket.source]
        return {name: source.distributions[name] for name in ticket.genes}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the hyperparameters of the trial's segment; nothing for a fresh start."""
        self._raise_error_if_multi_objective(study)
        genes = self._ticket(study, trial).genes if search_space else {}
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
        if param_name in self._rule.anneal and not is_number(param_distribution):
            raise ValueError(f"`{param_name}` cannot be annealed: it is a category, not a number.")
        ticket = self._ticket(study, trial)
        gene = ticket.genes.get(param_name)
        if gene is not None and is_number(param_distribution):
            return fit(gene, param_distribution)
        return draw(ticket.prior(param_name, self._population_size), param_distribution)

    def _ticket(self, study: Study, trial: FrozenTrial) -> Ticket:
        """Return the trial's ticket; issue one to a trial that has none of this study."""
        origin = self._origin(study)
        ticket = read_ticket(trial, origin["name"])
        return ticket or self._issue(study, trial, self._lineup(study, origin), origin)

    def _lineup(self, study: Study, origin: Mapping[str, Any]) -> Lineup:
        storage = study._storage
        return Lineup(
            # Hyperband shows a sampler the trials of one bracket only; a population has them all
            storage.get_all_trials(study._study_id, deepcopy=False),
            study=origin["name"],
            maximize=study.direction == StudyDirection.MAXIMIZE,
            size=self._population_size,
            reread=storage.get_trial,
        )

    def _issue(
        self, study: Study, trial: FrozenTrial, lineup: Lineup, origin: Mapping[str, Any]
    ) -> Ticket:
        """Issue the ticket of a trial and write it to the storage."""
        member, turn, attempt = lineup.place(trial.number)
        blank = Ticket(
            member=member,
            index=0,
            parent=None,
            temperature=self._temperature,
            rho=1.0,
            exploited=False,
            turn=turn,
            attempt=attempt,
            entropy=origin["entropy"] if self._seed is None else self._seed,
            study=origin["name"],
        )
        ticket = self._go_on(blank, lineup)
        storage, trial_id = study._storage, trial._trial_id
        shown = {
            "member": ticket.member,
            "segment": ticket.index,
            "parent": ticket.parent,
            "temperature": ticket.temperature,
        }
        for key, value in shown.items():
            storage.set_trial_user_attr(trial_id, key, value)
        # the ticket last: who has one has all, also if a worker dies between two writes
        storage.set_trial_system_attr(trial_id, TICKET_KEY, ticket.to_attr())
        trial.user_attrs.update(shown)
        trial.system_attrs[TICKET_KEY] = ticket.to_attr()
        return ticket

    def _go_on(self, blank: Ticket, lineup: Lineup) -> Ticket:
        """Choose the parent of a segment and draw its hyperparameters."""
        own = lineup.own(blank.member)
        if own is None:
            return self._start(blank, lineup)
        parent = choose_parent(self._selection, lineup, own, blank.selection_rng())
        if parent is None:
            return blank
        rho = retained(self._rule, read_feedback(lineup, own))
        ticket = replace(
            blank,
            index=parent.ticket.index + 1,
            parent=parent.trial.number,
            temperature=parent.ticket.temperature * self._rule.cooling,
            rho=rho,
            exploited=parent.ticket.member != blank.member,
        )
        before = lineup.parent(parent)
        previous = before.trial.params if before is not None else {}
        scale = ticket.temperature * max(self._selection.rivalry(ticket.index), LEAST_NOISE)
        feedback = read_feedback(lineup, parent)
        return self._vary(self._rule, ticket, parent.trial, previous, feedback, scale)

    def _start(self, blank: Ticket, lineup: Lineup) -> Ticket:
        """Return the ticket of a fresh start, near an added trial where there is one."""
        if blank.turn or blank.member >= len(lineup.founders):
            return blank
        founder = lineup.founders[blank.member]
        ticket, at_rest = replace(blank, rho=self._rule.retention), replace(self._rule, anneal={})
        return self._vary(at_rest, ticket, founder, {}, Feedback(), ticket.temperature)

    def _vary(
        self,
        rule: Rule,
        ticket: Ticket,
        source: FrozenTrial,
        previous: Mapping[str, Any],
        feedback: Feedback,
        noise_scale: float,
    ) -> Ticket:
        """Return the ticket with the next hyperparameters after those of `source`."""
        genes: dict[str, float] = {}
        for name, distribution in source.distributions.items():
            value, rng = source.params[name], ticket.variation_rng(name)
            if self._is_published:
                value = published_step(rule, name, distribution, value=value, rng=rng)
            else:
                value = recurrent_step(
                    rule,
                    name,
                    distribution,
                    value=value,
                    previous=previous,
                    feedback=feedback,
                    rho=ticket.rho,
                    noise_scale=noise_scale,
                    rng=rng,
                )
            genes[name] = float(distribution.to_internal_repr(value))
        return replace(ticket, source=source.number, genes=genes)

    def _origin(self, study: Study) -> Mapping[str, Any]:
        """Return the name under which the study's tickets are issued, and a seed for no seed.

        A copy of a study goes on with the tickets of the original, whatever its name. Trials that
        were added from another study keep foreign tickets, which mean nothing here.
        """
        storage, study_id = study._storage, study._study_id
        origin = storage.get_study_system_attrs(study_id).get(STUDY_KEY)
        if origin is None:
            origin = {"name": study.study_name, "entropy": secrets.randbits(32)}
            storage.set_study_system_attr(study_id, STUDY_KEY, origin)
        return dict(origin)

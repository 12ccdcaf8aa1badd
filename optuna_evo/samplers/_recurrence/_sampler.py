"""Population-based training as an ordinary Optuna sampler.

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
from optuna_evo.samplers._recurrence._feedback import choose_better
from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._feedback import read_feedback
from optuna_evo.samplers._recurrence._lineup import Lineup
from optuna_evo.samplers._recurrence._lineup import Result
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
    a parent trial: the member's previous segment or, for one of the worst members, the latest of
    one of the best. `segment_of` says which, so that whoever trains can load the parent's weights.
    Its hyperparameters follow from the parent's by a recurrence:

        theta_{t+1} = rho_t * theta_t + (1 - rho_t) * theta_new
        theta_new   = f(theta_t, s_t) + eta_t,    T_{t+1} = cooling * T_t

    The better a member ranks, the nearer rho_t is to 1: good configurations are kept. f goes on in
    the direction of the last change when the loss then fell faster than in the other members, and
    back when it fell slower. eta_t is Gaussian noise scaled by the temperature. Numbers are mixed
    on their own scale, logarithmic where the range is; a category is kept with probability rho_t
    and drawn anew else. First segments, and parameters that the parent did not have, are drawn
    from the whole range, and the first ones of all members cover it evenly.

    There is no barrier: an ask takes the member that has waited longest. All state lies in the
    study, so any process can go on from any point, and several workers share a population. The
    random numbers are a function of the seed, the study's name, the member and its turn.

    Who takes part:

    * Complete trials with a finite value can be parents. Pruned trials and infinite values rank
      behind them, by their last values, and are no parents: such a member goes on from a better
      one.
    * A failed segment is done again, with other noise; a retried copy of a trial is the same
      segment with the same hyperparameters.
    * Enqueued trials take the next place, with the parameters they fix.
    * Added trials have no weights and are no members. The best of them give the first segments
      their hyperparameters to start the recurrence from.

    It serves without weights too: then it is an evolution strategy whose steps get smaller.

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
            Share of the members, in [0, 0.5], that go on from one of as many best members. 0: all
            members go their own ways, always.
        n_rival_segments:
            Segments of a lineage over which the members are rivals: until then, the share of
            members that exploit grows and the share that they exploit shrinks, in even steps, and
            from then on all members train the best model in turn, so that lineages get long. None:
            the shares stay as they are, as in population-based training.
        tolerance:
            How much worse than the best a segment may be to count as equal to it, in standard
            deviations of the loss's noise along the lineages; at least 0. Of equals the one that
            was trained furthest is the best.
        rule:
            "recurrence" as above, or "published"; see `published`.
        seed:
            Seed of the random numbers; None draws one for the study.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.

    Example:
        >>> import optuna
        >>> from optuna_evo.samplers import RecurrenceSampler
        >>> sampler = RecurrenceSampler(population_size=4, anneal=("lr",), seed=0)
        >>> study = optuna.create_study(sampler=sampler)
        >>> study.optimize(lambda t: t.suggest_float("lr", 1e-4, 1e-1, log=True), n_trials=12)
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
        if population_size < 2:
            raise ValueError(
                f"`population_size` must be an integer of at least 2, got {population_size}: "
                "a single member has nobody to learn from."
            )
        if rule not in ("recurrence", "published"):
            raise ValueError(f'`rule` must be "recurrence" or "published", {rule=}.')
        _check_between("retention", retention, 0.0, 1.0)
        _check_between("mutation_prob", mutation_prob, 0.0, 1.0)
        _check_between("exploit_quantile", exploit_quantile, 0.0, 0.5)
        _check_between("noise", noise, 0.0, 10.0)
        _check_between("momentum", momentum, 0.0, 10.0)
        _check_between("tolerance", tolerance, 0.0, float("inf"))
        if n_rival_segments is not None and n_rival_segments < 0:
            raise ValueError(
                f"`n_rival_segments` must be at least 0, got {n_rival_segments}. None: always."
            )
        if not 0.0 < temperature < float("inf"):
            raise ValueError(f"`temperature` must be positive and finite, got {temperature}.")
        if not 0.0 < cooling <= 1.0:
            raise ValueError(f"`cooling` must be in (0, 1], got {cooling}.")
        if isinstance(anneal, str):
            raise ValueError(f'`anneal` must be a sequence of names, such as ["lr"]; {anneal=}.')
        factors = anneal if isinstance(anneal, Mapping) else dict.fromkeys(anneal, cooling)
        if wrong := {name: factor for name, factor in factors.items() if not 0.0 < factor <= 1.0}:
            raise ValueError(f"The factors in `anneal` must be in (0, 1], got {wrong}.")
        if seed is not None and seed < 0:
            raise ValueError(f"`seed` must be at least 0, got {seed}. None draws a new one.")
        self._population_size = population_size
        self._temperature = temperature
        self._exploit_quantile = exploit_quantile
        self._n_rival_segments = n_rival_segments
        self._tolerance = tolerance
        self._is_published = rule == "published"
        self._rule = Rule(
            retention=retention,
            mutation_prob=mutation_prob,
            noise=noise,
            momentum=momentum,
            anneal=dict(factors),
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
        """Return the value moved into a changed range, or else one from the whole range."""
        self._raise_error_if_multi_objective(study)
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
        parent = self._choose_parent(blank, lineup) if own is not None else None
        if own is None or parent is None:
            return self._start(blank, lineup)
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
        scale = ticket.temperature * max(self._rivalry(ticket.index), LEAST_NOISE)
        return self._vary(ticket, parent.trial, previous, read_feedback(lineup, parent), scale)

    def _choose_parent(self, blank: Ticket, lineup: Lineup) -> Result | None:
        """Return the segment to go on from: the member's own or, for a poor one, a better one."""
        own = lineup.own(blank.member)
        assert own is not None
        better = choose_better(
            lineup,
            own,
            quantile=self._exploit_quantile,
            tolerance=self._tolerance,
            rivalry=self._rivalry(own.ticket.index),
            rng=blank.selection_rng(),
        )
        if better is not None:
            return better
        if own.has_weights:
            return own
        rest = [result for result in lineup.latest() if result.has_weights]
        return min(rest, key=lambda result: result.loss, default=None) or lineup.own_with_weights(
            blank.member
        )

    def _rivalry(self, index: int) -> float:
        n = self._n_rival_segments
        return 1.0 if n is None else max(1.0 - index / n, 0.0) if n else 0.0

    def _start(self, blank: Ticket, lineup: Lineup) -> Ticket:
        """Return the ticket of a fresh start, near an added trial where there is one."""
        if blank.turn or blank.member >= len(lineup.founders):
            return blank
        founder = lineup.founders[blank.member]
        ticket = replace(blank, rho=self._rule.retention)
        return self._vary(ticket, founder, {}, Feedback(), ticket.temperature)

    def _vary(
        self,
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
                value = published_step(self._rule, name, distribution, value=value, rng=rng)
            else:
                value = recurrent_step(
                    self._rule,
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


def _check_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"`{name}` must be in [{low:g}, {high:g}], got {value}.")

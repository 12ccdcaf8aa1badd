"""Generations, parents and elites, read from the trials of a study.

The study is the state. A `Population` only remembers what finished trials, which never change,
have shown, so that an ask looks at new and open trials alone. Throw it away and it is rebuilt.

Generation g has the slots 0..size-1, each filled by a trial that holds a ticket for it. A failed
trial gives its slot back. Trials without a ticket of this study (added, or sampled by another
sampler) are members of the generation of the nearest trial before them that has one. Those before
all tickets are the founders: each takes a slot of generation 0.
"""

import bisect
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._ga._lists import find_lists
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._ticket import Ticket


__all__ = ["Member", "Place", "Population", "TICKET_KEY"]

TICKET_KEY = "GASampler:ticket"
_FOUNDER = -1


class Place(NamedTuple):
    """A free place in the population."""

    generation: int
    slot: int
    attempt: int


class Member(NamedTuple):
    """A finished trial that can be a parent. The rank orders members, the lowest is best."""

    trial: FrozenTrial
    generation: int
    slot: int
    rank: tuple[bool, float]

    @property
    def is_complete(self) -> bool:
        """Whether the trial ran to its end."""
        return not self.rank[0]


class Population:
    """The population of one study, kept up to date by `update`.

    Args:
        study: The name under which the tickets of this study were issued.
        maximize: Whether a higher value is better.
        size: Number of slots of a generation.
        n_elites: Number of the best earlier trials among the parents.
    """

    def __init__(self, *, study: str, maximize: bool, size: int, n_elites: int) -> None:
        self.study = study
        self.size = size
        self.space: dict[str, BaseDistribution] = {}
        self.genes: dict[int, dict[str, Any]] = {}
        self._sign = -1.0 if maximize else 1.0
        self._n_elites = n_elites
        self._n_seen = 0
        self._first_start: Any = None
        self._open: list[int] = []
        self._claimants: list[int] = []
        self._foreign: set[int] = set()
        self._tickets: dict[int, Ticket] = {}
        self._generations: list[int | None] = []
        self._current = 0
        self._n_slots: dict[int, int] = {}
        self._taken: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._freed: dict[int, dict[int, tuple[Any, int, int]]] = defaultdict(dict)
        self._members: dict[int, list[Member]] = defaultdict(list)
        self._best: list[tuple[float, int]] = []
        self._by_number: dict[int, Member] = {}
        self._evaluations: dict[object, list[tuple[int, float]]] = defaultdict(list)
        self._pool: tuple[int, list[Member]] | None = None
        self._lists: tuple[int, tuple[ListSpec, ...]] | None = None

    def is_of(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether `trials` continue the trials seen so far."""
        if not self._n_seen:
            return True
        return len(trials) >= self._n_seen and self._first_start in (
            None,
            trials[0].datetime_start,
        )

    def update(self, trials: Sequence[FrozenTrial], reread: Callable[[int], FrozenTrial]) -> None:
        """Take in what is new in `trials`, all trials of the study in the order of numbers.

        Args:
            trials: All trials of the study.
            reread: Returns a trial, given its id, as it is in the storage now.
        """
        pending = [*self._open, *range(self._n_seen, len(trials))]
        self._generations.extend([None] * (len(trials) - self._n_seen))
        self._n_seen = len(trials)
        if trials:
            self._first_start = trials[0].datetime_start
        self._open, self._claimants = [], []
        for number in pending:
            trial = trials[number]
            if number not in self._tickets and (ticket := self._read_ticket(trial)):
                self.admit(number, ticket)
            if trial.state.is_finished():
                self._close(number, trial)
                continue
            self._open.append(number)
            if trial.state == TrialState.RUNNING and self._is_claimant(trial, reread):
                self._claimants.append(number)

    def ticket(self, number: int) -> Ticket | None:
        """Return the ticket of an open trial; None if it has none yet."""
        return self._tickets.get(number)

    def admit(self, number: int, ticket: Ticket) -> None:
        """Enter the ticket of an open trial."""
        self._tickets[number] = ticket
        self._generations[number] = ticket.generation
        self._taken[ticket.generation][ticket.slot] += 1
        self._current = max(self._current, ticket.generation)
        n_slots = self._n_slots.get(ticket.generation, 0)
        self._n_slots[ticket.generation] = max(n_slots, ticket.n_slots)

    def place(self, number: int) -> Place:
        """Return the place for the running trial `number`.

        Of the running trials without a ticket, the k-th takes the k-th free place. Two workers
        that look at the same time thus never take the same one. Slots given back come last, the
        longest free first, because a slot that becomes free must not shift the others.
        """
        k = sum(claimant < number for claimant in self._claimants)
        free = self._free_places()
        if k < len(free):
            return free[k]
        beyond, slot = divmod(k - len(free), self.size)
        return Place(self._current + 1 + beyond, slot, 0)

    def n_slots(self, generation: int) -> int:
        """Return the number of slots of a generation, fixed by the ticket that opened it."""
        if generation in self._n_slots:
            return self._n_slots[generation]
        return max(0, self.size - len(self._members[_FOUNDER])) if generation == 0 else self.size

    def members(self, generation: int) -> list[Member]:
        """Return the members of a generation in the order of slots.

        Of more founders than a generation has slots, the best are members of generation 0.
        """
        founders = self._members[_FOUNDER] if generation == 0 else []
        if len(founders) > self.size:
            founders = sorted(founders, key=lambda member: member.rank)[: self.size]
        return sorted([*founders, *self._members[generation]], key=_by_place)

    def pool(self, generation: int) -> list[Member]:
        """Return the candidates for parents of a generation, in a reproducible order.

        These are the members of the generation before and the elites; where fewer than two of them
        have finished, also the members before these. Equal parameters appear once, with the mean
        of their values.
        """
        if self._pool is None or self._pool[0] != generation:
            self._pool = generation, self._make_pool(generation)
            self._lists = None
        return self._pool[1]

    def elites(self, generation: int) -> list[Member]:
        """Return the best different complete members of all generations before this one."""
        earlier = (
            self._by_number[number]
            for _, number in self._best
            if self._by_number[number].generation < generation
        )
        candidates = _different(earlier, 4 * self._n_elites)
        averaged = [self._averaged(member, generation) for member in candidates]
        return sorted(averaged, key=lambda member: member.rank)[: self._n_elites]

    def lists(self, generation: int) -> tuple[ListSpec, ...]:
        """Return the lists found in the parents of a generation and in generation 0."""
        if self._lists is None or self._lists[0] != generation:
            samples = [*self.members(0), *self.pool(generation)]
            trials = [member.trial for member in samples]
            specs = find_lists([(trial.params, trial.distributions) for trial in trials])
            self._lists = generation, specs
        return self._lists[1]

    def params(self, number: int) -> dict[str, Any]:
        """Return the parameters of the member with this trial number."""
        return self._by_number[number].trial.params

    def n_evaluations(self, trial: FrozenTrial) -> int:
        """Return how many trials have been completed with the parameters of `trial`."""
        return len(self._evaluations[_key(trial)])

    def _read_ticket(self, trial: FrozenTrial) -> Ticket | None:
        """Return the ticket in the storage; None without one or with one of another study."""
        attr = trial.system_attrs.get(TICKET_KEY)
        ticket = Ticket.from_attr(attr) if attr is not None else None
        return ticket if ticket is not None and ticket.study == self.study else None

    def _is_claimant(self, trial: FrozenTrial, reread: Callable[[int], FrozenTrial]) -> bool:
        """Whether a running trial is about to take a ticket.

        Our trials get their tickets before their parameters, so one with parameters alone is
        another sampler's. But a database may have read its attributes before its parameters: a
        second look decides.
        """
        number = trial.number
        if trial.params and number not in self._tickets and number not in self._foreign:
            ticket = self._read_ticket(reread(trial._trial_id))
            if ticket is None:
                self._foreign.add(number)
            else:
                self.admit(number, ticket)
        return number not in self._tickets and number not in self._foreign

    def _close(self, number: int, trial: FrozenTrial) -> None:
        self.genes.pop(number, None)
        ticket = self._tickets.pop(number, None)
        if trial.state == TrialState.FAIL:
            if ticket is not None:
                self._taken[ticket.generation][ticket.slot] -= 1
                self._free(number, trial, ticket)
            return
        if ticket is None:
            self._generations[number] = self._preceding(number)
        generation = self._generations[number]
        loss = self._loss(trial)
        if generation is not None and loss is not None:
            slot = ticket.slot if ticket is not None else self.size
            rank = trial.state != TrialState.COMPLETE, loss
            self._join(Member(trial, max(generation, 0), slot, rank), generation)

    def _join(self, member: Member, generation: int) -> None:
        trial = member.trial
        self._members[generation].append(member)
        self._by_number[trial.number] = member
        self.space.update(trial.distributions)
        if member.is_complete:
            bisect.insort(self._best, (member.rank[1], trial.number))
            self._evaluations[_key(trial)].append((member.generation, member.rank[1]))
        if self._pool is not None and member.generation < self._pool[0]:
            self._pool = None

    def _free(self, number: int, trial: FrozenTrial, ticket: Ticket) -> None:
        freed = self._freed[ticket.generation]
        _, _, attempt = freed.get(ticket.slot, (None, 0, 0))
        # The parameters that failed are not tried again: the next attempt is another child.
        attempt = max(attempt, ticket.attempt + 1)
        freed[ticket.slot] = (trial.datetime_complete, number, attempt)

    def _free_places(self) -> list[Place]:
        """Return the free places of the generations opened so far, in the order of use.

        A worker may open a generation while slower ones have yet to take the places left to them
        in those before, so all generations are looked at.
        """
        places = []
        for generation in range(self._current + 1):
            taken, n_slots = self._taken[generation], self.n_slots(generation)
            if len(taken) < n_slots:
                never = (slot for slot in range(n_slots) if slot not in taken)
                places += [Place(generation, slot, 0) for slot in never]
        freed, taken = self._freed[self._current], self._taken[self._current]
        for slot in sorted((slot for slot in freed if not taken[slot]), key=freed.__getitem__):
            places.append(Place(self._current, slot, freed[slot][2]))
        return places

    def _preceding(self, number: int) -> int:
        """Return the generation of the nearest trial before `number` that belongs to one."""
        earlier = (self._generations[k] for k in range(number - 1, -1, -1))
        return next((generation for generation in earlier if generation is not None), _FOUNDER)

    def _loss(self, trial: FrozenTrial) -> float | None:
        """Return what is minimised; None: no member, infinite: pruned without a value."""
        value = trial.value
        if trial.state == TrialState.PRUNED:
            if value is None and trial.intermediate_values:
                value = trial.intermediate_values[max(trial.intermediate_values)]
            return self._sign * value if value is not None and math.isfinite(value) else math.inf
        return self._sign * value if value is not None and math.isfinite(value) else None

    def _make_pool(self, generation: int) -> list[Member]:
        members: list[Member] = []
        for earlier in range(generation - 1, -1, -1):
            members += self.members(earlier)
            if len(members) >= 2:
                break
        members.sort(key=lambda member: (member.rank[0], *_by_place(member)))
        averaged = (self._averaged(member, generation) for member in members)
        pool = [*self.elites(generation), *averaged]
        return sorted(_different(iter(pool), len(pool)), key=_by_place)

    def _averaged(self, member: Member, generation: int) -> Member:
        """Rank a member by the mean over the trials with its parameters before a generation."""
        values = self._evaluations[_key(member.trial)] if member.is_complete else []
        earlier = [value for g, value in values if g < generation]
        if len(earlier) < 2:
            return member
        return member._replace(rank=(False, math.fsum(earlier) / len(earlier)))


def _by_place(member: Member) -> tuple[int, int, int]:
    return member.generation, member.slot, member.trial.number


def _different(members: Iterator[Member], n: int) -> list[Member]:
    """Return the first n members with different parameters."""
    chosen: dict[object, Member] = {}
    for member in members:
        if len(chosen) >= n:
            break
        chosen.setdefault(_key(member.trial), member)
    return list(chosen.values())


def _key(trial: FrozenTrial) -> object:
    """Return a hashable that trials with equal parameters share."""
    try:
        return frozenset(trial.params.items())
    except TypeError:  # a categorical choice may be a list
        return frozenset((name, repr(value)) for name, value in trial.params.items())

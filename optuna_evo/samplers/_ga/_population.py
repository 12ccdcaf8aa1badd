"""Generations, parents and elites, read from the trials of a study.

The study is the state. A `Population` only remembers what finished trials, which never change,
have shown, so that an ask looks at new and open trials alone. Throw it away and it is rebuilt.

Generation g has the slots 0..size-1, each filled by a trial that is assigned to it (see `_slots`).
Trials without an assignment of this study (added, or sampled by another sampler) are members of
the generation of the nearest trial before them that has one. Those before all assignments are the
seed trials: each takes a slot of generation 0.
"""

import bisect
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
import math
from typing import Any
from typing import Final
from typing import NamedTuple

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._ga._assignment import read_assignment
from optuna_evo.samplers._ga._assignment import SlotAssignment
from optuna_evo.samplers._ga._heritage import best_of_each
from optuna_evo.samplers._ga._heritage import donors
from optuna_evo.samplers._ga._heritage import Heritage
from optuna_evo.samplers._ga._heritage import latest_successes
from optuna_evo.samplers._ga._heritage import PARENTS
from optuna_evo.samplers._ga._heritage import structure
from optuna_evo.samplers._ga._lists import find_lists
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._screen import KernelMemory
from optuna_evo.samplers._ga._screen import MAX_PARAMETERS
from optuna_evo.samplers._ga._screen import MIN_TRIALS
from optuna_evo.samplers._ga._screen import Screen
from optuna_evo.samplers._ga._ways import Way
from optuna_evo.samplers._rank import Rank
from optuna_evo.samplers._rank import rank_of
from optuna_evo.samplers._slots import must_move
from optuna_evo.samplers._slots import NextSlot
from optuna_evo.samplers._slots import SlotBook
from optuna_evo.samplers._slots import SlotKey


__all__ = ["Member", "Population"]

_SEEDS: Final = -1  # the generation of seed trials


class Member(NamedTuple):
    """A finished trial that can be a parent. The rank orders members, the lowest is best."""

    trial: FrozenTrial
    generation: int
    slot: int
    rank: Rank

    @property
    def is_complete(self) -> bool:
        """Whether the trial ran to its end."""
        return not self.rank.is_pruned


class Population:
    """The population of one study, kept up to date by `update`.

    Args:
        study: The name under which slots of this study are assigned.
        maximize: Whether a higher value is better.
        ways: The way of a new study, and the other, in which its trials may have been begun.
    """

    def __init__(self, *, study: str, maximize: bool, ways: tuple[Way, Way]) -> None:
        self.study = study
        self.ways = ways
        self.way = ways[0]
        self._named: int | None = None  # the first trial that says what the way is
        self.space: dict[str, BaseDistribution] = {}
        self.genes: dict[int, dict[str, Any]] = {}
        self._maximize = maximize
        self._slots = SlotBook[SlotAssignment](partial(read_assignment, study=study))
        self._trials: Sequence[FrozenTrial] = ()
        self._generations: list[int | None] = []
        self._current = 0
        self._first_open = 0  # all slots of the generations before were assigned
        self._n_slots: dict[int, int] = {}
        self._members: dict[int, list[Member]] = defaultdict(list)
        self._best: list[tuple[Rank, int]] = []
        self._by_number: dict[int, Member] = {}
        self._evaluations: dict[object, list[Member]] = defaultdict(list)
        self._steps: list[tuple[int, int, float]] = []  # trial, mother, size of the mutation
        self._pool: tuple[int, list[Member]] | None = None
        self._heritage: tuple[int, Heritage] | None = None
        self._screen: tuple[int, int, Screen] | None = None  # generation, number of trials before
        self._kernels = KernelMemory()
        self._lists: tuple[int, tuple[ListSpec, ...]] | None = None

    @property
    def size(self) -> int:
        """Number of slots of a generation."""
        return self.way.population_size

    def is_of(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether `trials` go on from the trials seen so far."""
        return self._slots.is_of(trials)

    def update(self, trials: Sequence[FrozenTrial], reread: Callable[[int], FrozenTrial]) -> None:
        """Take in what is new in `trials`, all trials of the study in the order of numbers.

        Args:
            trials: All trials of the study.
            reread: Returns a trial, given its id, as it is in the storage now.
        """
        self._trials = trials
        self._generations.extend([None] * (len(trials) - len(self._generations)))
        changes = self._slots.update(trials, reread)
        for number, assignment in changes.assigned:
            self.genes.pop(number, None)
            self._enter(number, assignment)
        for trial, ended_assignment in changes.finished:
            self._close(trial, ended_assignment)

    def assignment(self, number: int) -> SlotAssignment | None:
        """Return the assignment of an open trial; None if it has none yet."""
        return self._slots.assignment(number)

    def assign(self, number: int, assignment: SlotAssignment) -> None:
        """Enter the assignment of an open trial, once it is in the storage."""
        self.genes.pop(number, None)
        self._slots.assign(number, assignment)
        self._enter(number, assignment)

    def next_slot(self, number: int) -> NextSlot:
        """Return the slot for the running trial `number`, (generation, slot, attempt)."""

        def beyond(k: int) -> SlotKey:
            generations, slot = divmod(k, self.size)
            return self._current + 1 + generations, slot

        return self._slots.next_slot(number, self._free_slots(), beyond)

    def must_move(self, number: int) -> bool | None:
        """Tell whether an open trial has to take another slot (see `_slots.must_move`)."""
        rivals = self._slots.rivals(number)
        return must_move(self._trials, number, rivals) if rivals else False

    def n_slots(self, generation: int) -> int:
        """Return the number of slots of a generation, fixed by the assignment that opened it."""
        if generation in self._n_slots:
            return self._n_slots[generation]
        n_first = max(0, self.way.n_startup_trials - len(self._members[_SEEDS]))
        return n_first if generation == 0 else self.size

    def members(self, generation: int) -> list[Member]:
        """Return the members of a generation in the order of slots.

        Of more seed trials than a generation has slots, the best are members of generation 0.
        """
        seeds = self._members[_SEEDS] if generation == 0 else []
        if len(seeds) > self.way.n_startup_trials:
            seeds = sorted(seeds, key=lambda member: member.rank)[: self.way.n_startup_trials]
        return sorted([*seeds, *self._members[generation]], key=_by_slot)

    def pool(self, generation: int) -> list[Member]:
        """Return the candidates for parents of a generation, in a reproducible order.

        Adaptive, these are the best of each structure. Annealed, and where fewer than two have
        ended well: the members of the generation before and the elites, and if need be the members
        before these. Equal parameters appear once, with the mean of their values.
        """
        if self._pool is None or self._pool[0] != generation:
            self._pool = generation, self._make_pool(generation)
            self._lists = None
        return self._pool[1]

    def elites(self, generation: int) -> list[Member]:
        """Return the best different complete members of all generations before this one."""
        n = self.way.n_elites
        candidates = _different(self._best_first(generation), 4 * n)
        averaged = [self._averaged(member, generation) for member in candidates]
        return sorted(averaged, key=lambda member: member.rank)[:n]

    def heritage(self, generation: int) -> Heritage:
        """Return what children of a generation inherit beside the values of their parents."""
        if self._heritage is None or self._heritage[0] != generation:
            self._heritage = generation, self._make_heritage(generation)
        return self._heritage[1]

    def screen(self, generation: int, specs: Sequence[ListSpec]) -> Screen | None:
        """Return what the trials before a generation say about children; None if it cannot be."""
        earlier = [m for m in self._by_number.values() if m.generation < generation]
        if len(earlier) < MIN_TRIALS or len(self.space) > MAX_PARAMETERS:
            return None
        key = generation, len(earlier)
        if self._screen is None or self._screen[:2] != key:
            earlier.sort(key=lambda member: member.trial.number)
            trials = [(m.trial.params, m.trial.distributions, m.rank) for m in earlier]
            self._screen = *key, Screen(trials, specs, self._kernels)
        return self._screen[2]

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

    def _enter(self, number: int, assignment: SlotAssignment) -> None:
        if self._named is None or number < self._named:
            self._named = number
            self.way = next(
                (w for w in self.ways if w.operators == assignment.operators), self.ways[0]
            )
        self._generations[number] = assignment.generation
        self._current = max(self._current, assignment.generation)
        self._first_open = min(self._first_open, assignment.generation)
        n_slots = self._n_slots.get(assignment.generation, 0)
        self._n_slots[assignment.generation] = max(n_slots, assignment.n_slots)

    def _close(self, trial: FrozenTrial, assignment: SlotAssignment | None) -> None:
        self.genes.pop(trial.number, None)
        if trial.state == TrialState.FAIL:
            return
        if assignment is None:
            self._generations[trial.number] = self._preceding(trial.number)
        generation = self._generations[trial.number]
        rank = rank_of(trial, maximize=self._maximize)
        # a pruned trial may lack a value, a complete one without an ordinary value is no member
        if generation is not None and (rank.is_pruned or math.isfinite(rank.loss)):
            slot = assignment.slot if assignment is not None else self.size
            self._join(Member(trial, max(generation, 0), slot, rank), generation)
            if assignment is not None and assignment.step:
                self._steps.append((trial.number, assignment.parents[0], assignment.step))

    def _join(self, member: Member, generation: int) -> None:
        trial = member.trial
        self._members[generation].append(member)
        self._by_number[trial.number] = member
        self.space.update(trial.distributions)
        if member.is_complete:
            bisect.insort(self._best, (member.rank, trial.number))
            self._evaluations[_key(trial)].append(member)
        if self._pool is not None and member.generation < self._pool[0]:
            self._pool = None
        if self._heritage is not None and member.generation < self._heritage[0]:
            self._heritage = None

    def _free_slots(self) -> list[SlotKey]:
        """Return the free slots of the generations opened so far, in the order of use.

        A worker may open a generation while slower ones have yet to take the slots left to them
        in those before, so all generations are looked at. Of the slots that were given back, only
        those of the current generation are used again: others would move behind the slots of a
        generation that opens, and who looks before that would meet who looks after it.
        """
        while self._first_open < self._current and not self._unused(self._first_open):
            self._first_open += 1
        generations = range(self._first_open, self._current + 1)
        free = [(g, slot) for g in generations for slot in self._unused(g)]
        taken = self._slots.group(self._current)
        given_back = [slot for slot in taken if not taken[slot].assignees]
        given_back.sort(key=lambda slot: taken[slot].freed)
        return free + [(self._current, slot) for slot in given_back]

    def _unused(self, generation: int) -> list[int]:
        """Return the slots of a generation that were never assigned."""
        taken, n_slots = self._slots.group(generation), self.n_slots(generation)
        if len(taken) >= n_slots:
            return []
        return [slot for slot in range(n_slots) if slot not in taken]

    def _preceding(self, number: int) -> int:
        """Return the generation of the nearest trial before `number` that belongs to one."""
        earlier = (self._generations[k] for k in range(number - 1, -1, -1))
        return next((generation for generation in earlier if generation is not None), _SEEDS)

    def _make_pool(self, generation: int) -> list[Member]:
        if self.way.keeps_best and len(varied := self._make_varied_pool(generation)) >= 2:
            return sorted(varied, key=_by_slot)
        members: list[Member] = []
        for earlier in range(generation - 1, -1, -1):
            members += self.members(earlier)
            if len(members) >= 2:
                break
        members.sort(key=lambda member: (member.rank.is_pruned, *_by_slot(member)))
        averaged = (self._averaged(member, generation) for member in members)
        pool = [*self.elites(generation), *averaged]
        return sorted(_different(iter(pool), len(pool)), key=_by_slot)

    def _best_first(self, generation: int) -> Iterator[Member]:
        """Yield the complete members before a generation, the best first."""
        members = (self._by_number[number] for _, number in self._best)
        return (member for member in members if member.generation < generation)

    def _make_varied_pool(self, generation: int) -> list[Member]:
        pairs = ((m, structure(m.trial)) for m in self._best_first(generation))
        varied = best_of_each(pairs, PARENTS * self.size)
        return [self._averaged(member, generation) for member in varied]

    def _make_heritage(self, generation: int) -> Heritage:
        before = {n: m.rank for n, m in self._by_number.items() if m.generation < generation}
        best = (member.trial.params for member in self._best_first(generation))
        return Heritage(latest_successes(self._steps, before), donors(best, len(self.space)))

    def _averaged(self, member: Member, generation: int) -> Member:
        """Rank a member by the mean over the trials with its parameters before a generation."""
        equals = self._evaluations[_key(member.trial)] if member.is_complete else []
        earlier = [equal.rank for equal in equals if equal.generation < generation]
        if len(earlier) < 2:
            return member
        violation = math.fsum(rank.violation for rank in earlier) / len(earlier)
        loss = math.fsum(rank.loss for rank in earlier) / len(earlier)
        return member._replace(rank=Rank(False, violation, loss))


def _by_slot(member: Member) -> tuple[int, int, int]:
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

"""The state of the population: the members and their latest segments, read from a study's trials.

The study is the state: a `PopulationState` is read anew at every ask, in one pass over the trials.

There is no barrier. A member is free when its latest trial has ended, and of the free members the
one that has waited longest is next (see `_slots` for how workers share them). Failed trials do not
count: the member does the same segment again. Trials without an assignment of this study (added,
or sampled by another sampler) are no members.
"""

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from functools import partial
import math
from typing import NamedTuple

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.samplers._rank import Rank
from optuna_evo.samplers._rank import rank_of
from optuna_evo.samplers._recurrence._segment import read_assignment
from optuna_evo.samplers._recurrence._segment import SegmentAssignment
from optuna_evo.samplers._slots import ended
from optuna_evo.samplers._slots import NextSlot
from optuna_evo.samplers._slots import SlotBook
from optuna_evo.samplers._slots import SlotKey


__all__ = ["PopulationState", "Result"]


class Result(NamedTuple):
    """A finished segment."""

    trial: FrozenTrial
    segment: SegmentAssignment
    loss: float
    """What is minimised; infinite for a pruned segment without a finite value."""
    violation: float = 0.0
    """By how much constraints are violated; 0 for a feasible segment."""

    @property
    def has_weights(self) -> bool:
        """Whether others may go on from it: a complete trial that did not diverge."""
        is_whole = self.trial.state == TrialState.COMPLETE and math.isfinite(self.loss)
        return is_whole and not DIVERGED.is_in(self.trial.user_attrs)

    @property
    def rank(self) -> Rank:
        """What orders results, the lowest is best: without weights are behind those with some."""
        return Rank(not self.has_weights, self.violation, self.loss)


class PopulationState:
    """The members of one study as its trials are now.

    Args:
        trials: All trials of the study, in the order of their numbers.
        study: The name under which segments of this study are assigned.
        maximize: Whether a higher value is better.
        size: Number of members.
        reread: Returns a trial, given its id, as it is in the storage now.
    """

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        *,
        study: str,
        maximize: bool,
        size: int,
        reread: Callable[[int], FrozenTrial],
    ) -> None:
        self.size = size
        self.results: dict[int, Result] = {}
        self._maximize = maximize
        self._slots = SlotBook[SegmentAssignment](partial(read_assignment, study=study))
        self._ended: dict[int, tuple[datetime, int]] = {}
        self._by_member: dict[int, list[Result]] = defaultdict(list)
        self._added: list[FrozenTrial] = []
        for trial, segment in self._slots.update(trials, reread).finished:
            if segment is not None:
                self._close(trial, segment)
            elif trial.state == TrialState.COMPLETE:
                self._added.append(trial)
        self._busy = {segment.member for segment in self._slots.open_assignments()}
        for results in self._by_member.values():
            results.sort(key=lambda result: (result.segment.turn, -result.trial.number))

    @cached_property
    def seeds(self) -> list[FrozenTrial]:
        """The added trials, the best first: where first segments start; needed by these alone."""
        ranked = [(rank_of(trial, maximize=self._maximize), trial) for trial in self._added]
        finite = [(rank, trial) for rank, trial in ranked if math.isfinite(rank.loss)]
        return [trial for _, trial in sorted(finite, key=lambda pair: pair[0])]

    def next_slot(self, number: int, last: Collection[int] = ()) -> NextSlot:
        """Return the slot for the running trial `number`, (member, turn, attempt).

        When there are more trials than free members, busy ones get one more segment, beside the
        one they are at.

        Args:
            number: The trial.
            last: Members that let all others that are free go first.
        """
        turns = [self._next_turn(member) for member in range(self.size)]
        free = sorted(self._free_members(), key=lambda member: member in last)

        def beyond(k: int) -> SlotKey:
            rounds, at = divmod(k, self.size)
            member = sorted(range(self.size), key=lambda member: (turns[member], member))[at]
            # the next turn of a free member goes to one of the unassigned trials before this one
            return member, turns[member] + rounds + (member in free)

        return self._slots.next_slot(number, [(m, turns[m]) for m in free], beyond)

    def is_shared(self, segment: SegmentAssignment, number: int) -> bool:
        """Whether another trial has the slot of an assignment too."""
        slot = self._slots.group(segment.member).get(segment.turn)
        return slot is not None and bool(slot.assignees - {number})

    def latest(self) -> list[Result]:
        """Return the latest finished segment of each member that has one, by members."""
        return [self._by_member[member][-1] for member in sorted(self._by_member)]

    def own(self, member: int) -> Result | None:
        """Return the latest segment of a member."""
        results = self._by_member.get(member)
        return results[-1] if results else None

    def own_with_weights(self, member: int) -> Result | None:
        """Return the latest segment of a member that it can go on from."""
        results = self._by_member.get(member, [])
        return next((result for result in reversed(results) if result.has_weights), None)

    def parent(self, result: Result) -> Result | None:
        """Return the segment that a segment went on from."""
        number = result.segment.parent
        return None if number is None else self.results.get(number)

    def ancestry(self, result: Result, n: int) -> list[Result]:
        """Return a segment and up to n - 1 before it along its lineage, the latest first."""
        chain = [result]
        while len(chain) < n and (parent := self.parent(chain[-1])) is not None:
            chain.append(parent)
        return chain

    def at(self, result: Result, index: int) -> Result | None:
        """Return the segment of this index along a lineage; None if it is not as long."""
        n = result.segment.index - index + 1
        found = self.ancestry(result, n)[-1] if n > 0 else None
        return found if found is not None and found.segment.index == index else None

    def descends(self, result: Result, ancestor: Result) -> bool:
        """Whether a segment is the ancestor or went on from it, at whatever distance."""
        found = self.at(result, ancestor.segment.index)
        return found is not None and found.trial.number == ancestor.trial.number

    def _close(self, trial: FrozenTrial, segment: SegmentAssignment) -> None:
        member, end = segment.member, ended(trial)
        if member not in self._ended or end > self._ended[member]:
            self._ended[member] = end
        if trial.state != TrialState.FAIL:
            _, violation, loss = rank_of(trial, maximize=self._maximize)
            result = Result(trial, segment, loss, violation)
            self.results[trial.number] = result
            self._by_member[member].append(result)

    def _next_turn(self, member: int) -> int:
        """Return the turn after the last that has not failed."""
        slots = self._slots.group(member)
        return max((turn for turn, slot in slots.items() if slot.assignees), default=-1) + 1

    def _free_members(self) -> list[int]:
        """Return the free members, those that never started first, then by when they ended."""
        free = (member for member in range(self.size) if member not in self._busy)
        return sorted(
            free, key=lambda member: (self._ended.get(member, (datetime.min, member)), member)
        )

"""The members and their latest segments, read from the trials of a study.

The study is the state: a `Lineup` is read anew at every ask, in one pass over the trials.

There is no barrier. A member is free when its latest trial has ended, and of the free members the
one that has waited longest is next. Failed trials do not count: the member does the same segment
again. Trials without a ticket of this study (added, or sampled by another sampler) are no members.
"""

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.samplers._recurrence._segment import read_ticket
from optuna_evo.samplers._recurrence._segment import Ticket


__all__ = ["Lineup", "Place", "Result"]

# what `search` notes on a trial whose loss was not finite, and which was told a penalty


class Place(NamedTuple):
    """The next turn of a member."""

    member: int
    turn: int
    attempt: int


class Result(NamedTuple):
    """A finished segment."""

    trial: FrozenTrial
    ticket: Ticket
    loss: float
    """What is minimised; infinite for a pruned segment without a finite value."""

    @property
    def has_weights(self) -> bool:
        """Whether others may go on from it: a complete trial that did not diverge."""
        is_whole = self.trial.state == TrialState.COMPLETE and math.isfinite(self.loss)
        return is_whole and not DIVERGED.is_in(self.trial.user_attrs)

    @property
    def rank(self) -> tuple[bool, float]:
        """What orders results, the lowest is best: pruned ones are behind complete ones."""
        return not self.has_weights, self.loss


class Lineup:
    """The members of one study as its trials are now.

    Args:
        trials: All trials of the study, in the order of their numbers.
        study: The name under which the tickets of this study were issued.
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
        self.founders: list[FrozenTrial] = []
        self._sign = -1.0 if maximize else 1.0
        self._claimants: list[int] = []
        self._holders: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._attempts: dict[tuple[int, int], int] = defaultdict(int)
        self._busy: set[int] = set()
        self._freed: dict[int, tuple[float, int]] = {}
        self._turns: dict[int, int] = defaultdict(int)
        self._by_member: dict[int, list[Result]] = defaultdict(list)
        for trial in trials:
            ticket = read_ticket(trial, study)
            if ticket is None and trial.state == TrialState.RUNNING and trial.params:
                # parameters without a ticket: another sampler's trial, unless the database had
                # read the attributes a moment before the parameters
                ticket = read_ticket(reread(trial._trial_id), study)
            if ticket is not None:
                self._admit(trial, ticket)
            elif trial.state == TrialState.RUNNING and not trial.params:
                self._claimants.append(trial.number)
            elif trial.state == TrialState.COMPLETE and math.isfinite(self._loss(trial)):
                self.founders.append(trial)
        self.founders.sort(key=self._loss)
        for results in self._by_member.values():
            results.sort(key=lambda result: (result.ticket.turn, -result.trial.number))

    def place(self, number: int) -> Place:
        """Return the place for the running trial `number`.

        Of the running trials without a ticket, the k-th takes the k-th free member. Two workers
        that look at the same time thus never take the same one: a member that becomes free joins
        the end of the line and shifts nobody. When there are more trials than free members, busy
        ones get one more segment, beside the one they are at.
        """
        k = sum(claimant < number for claimant in self._claimants)
        line = self._line()
        if k < len(line):
            member, turn = line[k], self._turns[line[k]]
        else:
            order = sorted(range(self.size), key=lambda member: (self._turns[member], member))
            rounds, at = divmod(k - len(line), self.size)
            member = order[at]
            # a member of the line is taken by the claimants before this one
            turn = self._turns[member] + rounds + (member in line)
        return Place(member, turn, self._attempts[member, turn])

    def is_taken(self, ticket: Ticket, number: int) -> bool:
        """Whether another trial holds the place of a ticket too."""
        return any(other != number for other in self._holders[ticket.member, ticket.turn])

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
        number = result.ticket.parent
        return None if number is None else self.results.get(number)

    def ancestry(self, result: Result, n: int) -> list[Result]:
        """Return a segment and up to n - 1 before it along its lineage, the latest first."""
        chain = [result]
        while len(chain) < n and (parent := self.parent(chain[-1])) is not None:
            chain.append(parent)
        return chain

    def at(self, result: Result, index: int) -> Result | None:
        """Return the segment of this index along a lineage; None if it is not as long."""
        n = result.ticket.index - index + 1
        found = self.ancestry(result, n)[-1] if n > 0 else None
        return found if found is not None and found.ticket.index == index else None

    def descends(self, result: Result, ancestor: Result) -> bool:
        """Whether a segment is the ancestor or went on from it, at whatever distance."""
        found = self.at(result, ancestor.ticket.index)
        return found is not None and found.trial.number == ancestor.trial.number

    def _admit(self, trial: FrozenTrial, ticket: Ticket) -> None:
        member, turn = ticket.member, ticket.turn
        if trial.state == TrialState.FAIL:
            self._attempts[member, turn] = max(self._attempts[member, turn], ticket.attempt + 1)
            self._freed[member] = max(self._freed.get(member, (0.0, 0)), _end(trial))
            return
        self._holders[member, turn].append(trial.number)
        self._turns[member] = max(self._turns[member], turn + 1)
        if not trial.state.is_finished():
            self._busy.add(member)
            return
        result = Result(trial, ticket, self._loss(trial))
        self.results[trial.number] = result
        self._by_member[member].append(result)
        self._freed[member] = max(self._freed.get(member, (0.0, 0)), _end(trial))

    def _line(self) -> list[int]:
        """Return the free members, those that never started first, then by when they ended."""
        free = (member for member in range(self.size) if member not in self._busy)
        return sorted(free, key=lambda member: (self._freed.get(member, (0.0, member)), member))

    def _loss(self, trial: FrozenTrial) -> float:
        value = trial.value
        if trial.state == TrialState.PRUNED and value is None and trial.intermediate_values:
            value = trial.intermediate_values[max(trial.intermediate_values)]
        return self._sign * value if value is not None and math.isfinite(value) else math.inf


def _end(trial: FrozenTrial) -> tuple[float, int]:
    end = trial.datetime_complete
    return (end.timestamp() if end is not None else 0.0), trial.number

"""Who has which slot of a population, read from the trials of a study.

Workers share nothing but the study, and its storage has no compare-and-set. What keeps them from
taking the same slot is an order that all of them can compute:

* A running trial without an assignment is *unassigned*. The k-th of them, by number, takes the
  k-th free slot. Two workers that look at the same time see themselves at different k.
* Slots that become free again come behind those that are free already, so that an assignment under
  way is not shifted by them.
* A sampler writes the assignment of a trial before the first parameter. A running trial that has
  parameters alone thus belongs to another sampler, unless the database read its attributes a
  moment before its parameters: such a trial is read once more before it is called foreign.
* A failed trial gives its slot back, and the number of attempts at a slot never falls: the next
  assignee draws other numbers. A trial that was lost and queued again brings its assignment along,
  and has the slot from the moment in which it is queued.
* A finished trial never changes. It is read once, later updates look at new and open trials only.

What this does not cover: where a worker dies between its look and its write, or takes a slot that
was given back while others look, two workers may still take one slot. Both trials then count, so
that the population has a member more, and no slot is left out.

Slots stand in groups, (group, position): a generation has so many slots, or a member its turns.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import Generic
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

from optuna.trial import FrozenTrial
from optuna.trial import TrialState


__all__ = ["Changes", "ended", "NextSlot", "Slot", "SlotBook", "SlotKey"]

SlotKey = tuple[int, int]
"""The group of a slot, and its position in the group."""


class Assignment(Protocol):
    """What a sampler writes on a trial, as far as slots are concerned."""

    @property
    def key(self) -> SlotKey:
        """The slot."""
        ...

    @property
    def attempt(self) -> int:
        """How many trials had failed in the slot before."""
        ...


A = TypeVar("A", bound=Assignment)


class NextSlot(NamedTuple):
    """A slot to assign."""

    group: int
    position: int
    attempt: int


@dataclass(slots=True)
class Slot:
    """A slot that was assigned at least once.

    Attributes:
        assignees: Numbers of the trials that have it and did not fail; more than one only where a
            lost trial was queued again after its slot had been given away.
        attempts: How many trials have failed in it, as the next attempt counts them.
        freed: When it was last given back, and by which trial (see `ended`).
    """

    assignees: set[int] = field(default_factory=set)
    attempts: int = 0
    freed: tuple[datetime, int] = (datetime.min, -1)


@dataclass(frozen=True)
class Changes(Generic[A]):
    """What an update has found.

    Attributes:
        assigned: Numbers and assignments of trials that have got one.
        finished: Trials that have ended, with their assignment; None for foreign ones.
    """

    assigned: Sequence[tuple[int, A]]
    finished: Sequence[tuple[FrozenTrial, A | None]]


_NO_SLOTS: Final[Mapping[int, Slot]] = MappingProxyType({})


class SlotBook(Generic[A]):
    """The slots of one study, kept up to date by `update`.

    It remembers only what the study says: thrown away, it is rebuilt.

    Args:
        read: Returns the assignment on a trial; None without one or with one of another study.
    """

    def __init__(self, read: Callable[[FrozenTrial], A | None]) -> None:
        self._read = read
        self._n_seen = 0
        self._first_start: Any = None
        self._open: list[int] = []
        self._unassigned: list[int] = []
        self._foreign: set[int] = set()
        self._assignments: dict[int, A] = {}
        self._groups: dict[int, dict[int, Slot]] = {}

    def is_of(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether `trials` go on from the trials seen so far; a storage may use an id again."""
        if not self._n_seen:
            return True
        if len(trials) < self._n_seen:
            return False
        return self._first_start is None or trials[0].datetime_start == self._first_start

    def update(
        self, trials: Sequence[FrozenTrial], reread: Callable[[int], FrozenTrial]
    ) -> Changes[A]:
        """Take in what is new.

        Args:
            trials: All trials of the study in the order of their numbers.
            reread: Returns a trial, given its id, as it is in the storage now.
        """
        pending = [*self._open, *range(self._n_seen, len(trials))]
        self._n_seen = len(trials)
        self._first_start = trials[0].datetime_start if trials else None
        self._open, self._unassigned = [], []
        assigned: list[tuple[int, A]] = []
        finished: list[tuple[FrozenTrial, A | None]] = []
        for number in pending:
            trial = trials[number]
            state = trial.state
            assignment = self._assignments.get(number)
            if assignment is None:
                assignment = self._read(trial)
                if assignment is None and state == TrialState.RUNNING:
                    assignment = self._second_look(trial, reread)
                    if assignment is None and number not in self._foreign:
                        self._unassigned.append(number)
                if assignment is not None:
                    self.assign(number, assignment)
                    assigned.append((number, assignment))
            if state.is_finished():
                self._assignments.pop(number, None)
                if assignment is not None and state == TrialState.FAIL:
                    self._give_back(trial, assignment)
                finished.append((trial, assignment))
            else:
                self._open.append(number)
        return Changes(assigned, finished)

    def assign(self, number: int, assignment: A) -> None:
        """Enter the assignment of an open trial, once it is in the storage."""
        self._assignments[number] = assignment
        group, position = assignment.key
        slots = self._groups.setdefault(group, {})
        if position in slots:
            slots[position].assignees.add(number)
        else:
            slots[position] = Slot({number})

    def assignment(self, number: int) -> A | None:
        """Return the assignment of an open trial; None if it has none yet."""
        return self._assignments.get(number)

    def open_assignments(self) -> Iterable[A]:
        """Return the assignments of the trials that have not ended."""
        return self._assignments.values()

    def group(self, group: int) -> Mapping[int, Slot]:
        """Return the slots of a group that were ever assigned, by position."""
        return self._groups.get(group, _NO_SLOTS)

    def next_slot(
        self, number: int, free: Sequence[SlotKey], beyond: Callable[[int], SlotKey]
    ) -> NextSlot:
        """Return the slot for the running trial `number`, which has none.

        Args:
            number: The trial.
            free: The free slots in the order of use, those given back last.
            beyond: Returns the k-th slot after the free ones.
        """
        k = sum(unassigned < number for unassigned in self._unassigned)
        group, position = free[k] if k < len(free) else beyond(k - len(free))
        slot = self.group(group).get(position)
        return NextSlot(group, position, slot.attempts if slot is not None else 0)

    def _second_look(self, trial: FrozenTrial, reread: Callable[[int], FrozenTrial]) -> A | None:
        """Return the assignment that the first look at a running trial may have missed."""
        if not trial.params or trial.number in self._foreign:
            return None
        assignment = self._read(reread(trial._trial_id))
        if assignment is None:
            self._foreign.add(trial.number)
        return assignment

    def _give_back(self, trial: FrozenTrial, assignment: A) -> None:
        group, position = assignment.key
        slot = self._groups[group][position]
        slot.assignees.discard(trial.number)
        slot.attempts = max(slot.attempts, assignment.attempt + 1)
        slot.freed = max(slot.freed, ended(trial))


def ended(trial: FrozenTrial) -> tuple[datetime, int]:
    """Return when a finished trial ended, and its number: an order without ties."""
    return trial.datetime_complete or datetime.min, trial.number

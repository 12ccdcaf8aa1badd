"""Who has which slot of a population, read from the trials of a study.

Workers share nothing but the study, and its storage has no compare-and-set. What keeps them from
taking the same slot is an order that all of them can compute:

* A trial without an assignment that runs or waits is *unassigned*. The k-th of them takes the
  k-th free slot; a copy of a lost trial has the turn of the original, whose number it names. Two
  workers that look at the same time see themselves at different k, also when the earlier trial
  still stands in the queue.
* Slots that become free again come behind those that are free already, so that an assignment under
  way is not shifted by them.
* A sampler writes the assignment of a trial before the first parameter. A running trial that has
  parameters alone thus belongs to another sampler, unless the database read its attributes a
  moment before its parameters: such a trial is read once more before it is called foreign.
* A failed trial gives its slot back, and the number of attempts at a slot never falls: the next
  assignee draws other numbers. A trial that was lost and queued again brings its assignment along,
  and has the slot from the moment in which it is queued.
* A finished trial never changes. It is read once, later updates look at new and open trials only.

The order makes it rare that two trials take one slot, but where others fail, end or die between a
look and a write it can happen. So an assignment is a claim until it was *settled*: its worker
writes it, reads the study again, and only if no other living trial has the slot, it goes on to the
first parameter. Otherwise the trial with the lowest turn stays, the others move to their next slot
and settle that. Of two trials that have one slot, the later write was followed by a read that saw
the earlier one; so two settled trials never share a slot, whatever happens in between, and whoever
dies: the copy of a trial without parameters is settled again (`must_move`).

Slots stand in groups, (group, position): a generation has so many slots, or a member its turns.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
import time
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import Generic
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._retries import place_of


__all__ = ["Changes", "ended", "must_move", "NextSlot", "settle", "Slot", "SlotBook", "SlotKey"]

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
        assignees: Numbers of the trials that have it and did not fail; more than one until all
            but one have moved, or where Optuna queued a lost trial again that had parameters.
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


_PATIENCE: Final = 5
_PAUSE_S: Final = 0.02  # some writes of another worker
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
        self._turns: dict[int, int] = {}  # of the unassigned trials
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
        self._open, self._turns = [], {}
        assigned: list[tuple[int, A]] = []
        finished: list[tuple[FrozenTrial, A | None]] = []
        for number in pending:
            trial = trials[number]
            state = trial.state
            known = self._assignments.get(number)
            assignment = self._read(trial) or known
            if assignment is None and not state.is_finished():
                if state == TrialState.RUNNING:
                    assignment = self._second_look(trial, reread)
                if assignment is None and number not in self._foreign:
                    self._turns[number] = place_of(trial)
            if assignment is not None and assignment != known:
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
        """Enter the assignment of an open trial, or another one, once it is in the storage."""
        if (before := self._assignments.get(number)) is not None:
            group, position = before.key
            slot = self._groups[group][position]
            slot.assignees.discard(number)
            if not (slot.assignees or slot.attempts):  # as if it had never been assigned
                del self._groups[group][position]
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

    def rivals(self, number: int) -> set[int]:
        """Return the numbers of other trials that have the slot of an open one."""
        group, position = self._assignments[number].key
        return self._groups[group][position].assignees - {number}

    def open_assignments(self) -> Iterable[A]:
        """Return the assignments of the trials that have not ended."""
        return self._assignments.values()

    def group(self, group: int) -> Mapping[int, Slot]:
        """Return the slots of a group that were ever assigned, by position."""
        return self._groups.get(group, _NO_SLOTS)

    def next_slot(
        self, number: int, free: Sequence[SlotKey], beyond: Callable[[int], SlotKey]
    ) -> NextSlot:
        """Return the slot for the running trial `number`.

        Args:
            number: The trial; it may have a slot, from which it moves.
            free: The free slots in the order of use, those given back last.
            beyond: Returns the k-th slot after the free ones.
        """
        mine = self._turns.get(number, number)
        k = sum(turn < mine for turn in self._turns.values())
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


def must_move(trials: Sequence[FrozenTrial], number: int, rivals: Iterable[int]) -> bool | None:
    """Tell whether a trial with an assignment has to take another slot.

    Args:
        trials: All trials of the study, in the order of numbers.
        number: The trial; it has no parameters yet.
        rivals: Numbers of the trials that have its slot and did not fail, without itself.

    Returns:
        False: it has the slot. True: it does not. None: another has yet to move.
    """
    others = [trials[rival] for rival in rivals]
    if not others:
        return False
    turn = (place_of(trials[number]), number)
    stays = all((place_of(t), t.number) > turn and not t.params for t in others)
    return None if stays else True


def settle(decide: Callable[[], bool | None], move: Callable[[], object]) -> None:
    """Make sure that no other trial has the slot of this worker's.

    Args:
        decide: Reads the study and returns what `must_move` says.
        move: Takes another slot and writes that.
    """
    patience = _PATIENCE
    while (moves := decide()) is not False:
        # a rival that does not move has died, or had settled before this trial came
        if moves or patience == 0:
            move()
            patience = _PATIENCE
        else:
            patience -= 1
            time.sleep(_PAUSE_S)

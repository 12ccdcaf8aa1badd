"""The slot book: its rules one by one, then a random walk of workers against a simple model."""

from collections.abc import Sequence
import copy
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers._slots import must_move
from optuna_evo.samplers._slots import NextSlot
from optuna_evo.samplers._slots import settle
from optuna_evo.samplers._slots import SlotBook
from optuna_evo.samplers._slots import SlotKey


SIZE = 3  # slots of a group
KEY = "assignment"
X = {"x": FloatDistribution(0.0, 1.0)}
START = datetime(2026, 1, 1)


@dataclass(frozen=True)
class Assigned:
    key: SlotKey
    attempt: int = 0


def read(trial: FrozenTrial) -> Assigned | None:
    attr = trial.system_attrs.get(KEY)
    return None if attr is None else Assigned(tuple(attr[:2]), attr[2])


def never(trial_id: int) -> FrozenTrial:
    raise AssertionError(f"trial {trial_id} was read once more")


def running(number: int, assigned: Sequence[int] | None = None, **params: float) -> FrozenTrial:
    trial = optuna.create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions={name: X["x"] for name in params},
        system_attrs={} if assigned is None else {KEY: list(assigned)},
    )
    trial.number = trial._trial_id = number
    trial.datetime_start = START
    return trial


def ended(trial: FrozenTrial, state: TrialState, at: int = 0) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.state, trial.datetime_complete = state, START + timedelta(seconds=at)
    return trial


def free_slots(book: SlotBook[Assigned], n_groups: int) -> list[SlotKey]:
    """Return what was never assigned, then what was given back in the last group, by when."""
    keys = [(group, position) for group in range(n_groups) for position in range(SIZE)]
    unused = [(group, k) for group, k in keys if k not in book.group(group)]
    last = book.group(n_groups - 1)
    back = sorted((k for k in last if not last[k].assignees), key=lambda k: last[k].freed)
    return unused + [(n_groups - 1, k) for k in back]


def next_slot(book: SlotBook[Assigned], number: int, n_groups: int = 1) -> NextSlot:
    free = free_slots(book, n_groups)
    return book.next_slot(number, free, lambda k: (n_groups + k // SIZE, k % SIZE))


def book_of(*trials: FrozenTrial) -> SlotBook[Assigned]:
    book = SlotBook(read)
    book.update(trials, never)
    return book


def test_the_kth_unassigned_trial_takes_the_kth_free_slot() -> None:
    book = book_of(*(running(k) for k in range(5)))
    assert [next_slot(book, k)[:2] for k in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_an_assignment_on_its_way_shifts_nobody() -> None:
    before = book_of(running(0), running(1), running(2))
    after = book_of(running(0, (0, 0, 0)), running(1), running(2))
    assert next_slot(before, 2) == next_slot(after, 2)


def test_slots_given_back_come_last_the_longest_free_first() -> None:
    late, early = running(0, (0, 0, 0)), running(1, (0, 1, 0))
    failed = [ended(late, TrialState.FAIL, at=9), ended(early, TrialState.FAIL, at=5)]
    book = book_of(*failed, *(running(k) for k in range(2, 6)))
    places = [next_slot(book, k) for k in range(2, 6)]
    assert places == [(0, 2, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0)]


def test_attempts_grow_with_every_failure() -> None:
    trials = [ended(running(k, (0, 0, k)), TrialState.FAIL, at=k) for k in range(3)]
    trials += [running(3, (0, 1, 0)), running(4, (0, 2, 0)), running(5)]
    assert next_slot(book_of(*trials), 5) == (0, 0, 3)


def test_the_copy_of_a_lost_trial_has_the_slot_before_it_runs() -> None:
    lost = ended(running(0, (0, 0, 0)), TrialState.FAIL)
    queued = running(1, (0, 0, 0))
    queued.state = TrialState.WAITING
    book = book_of(lost, queued, running(2))
    assert book.group(0)[0].assignees == {1}
    assert next_slot(book, 2) == (0, 1, 0)


def test_a_trial_of_another_sampler_is_read_once_more_and_then_never() -> None:
    foreign, reads = running(0, x=0.5), []

    def reread(trial_id: int) -> FrozenTrial:
        reads.append(trial_id)
        return foreign

    book = SlotBook(read)
    for _ in range(3):
        book.update([foreign, running(1)], reread)
    assert reads == [0]
    assert next_slot(book, 1) == (0, 0, 0)
    finished = book.update([ended(foreign, TrialState.COMPLETE), running(1)], reread).finished
    assert [assignment for _, assignment in finished] == [None]


def test_an_assignment_that_a_torn_read_missed_is_found_by_a_second_look() -> None:
    whole, torn = running(0, (0, 0, 0), x=0.5), running(0, x=0.5)
    book = SlotBook(read)
    changes = book.update([torn, running(1)], lambda _: whole)
    assert changes.assigned == [(0, Assigned((0, 0)))]
    assert next_slot(book, 1) == (0, 1, 0)


def test_a_finished_trial_is_taken_in_once() -> None:
    done = ended(running(0, (0, 0, 0)), TrialState.COMPLETE)
    book = SlotBook(read)
    assert [t.number for t, _ in book.update([done], never).finished] == [0]
    assert not book.update([done, running(1)], never).finished
    assert book.group(0)[0].assignees == {0}


def test_another_study_under_the_same_id_is_noticed() -> None:
    book = book_of(running(0), running(1))
    other = running(0)
    other.datetime_start = START + timedelta(days=1)
    assert book.is_of([running(0), running(1), running(2)])
    assert not book.is_of([running(0)])
    assert not book.is_of([other, running(1)])
    assert SlotBook(read).is_of([])


class Walk:
    """Workers that look, write and end in any order, and what a slot book must say of it.

    Args:
        seed: Seed of the order.
        delays: Whether others act between a worker's look and its write.
        gives_back: Whether trials fail without being queued again.
    """

    def __init__(self, seed: int, *, delays: bool, gives_back: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.delays, self.gives_back = delays, gives_back
        self.trials: list[FrozenTrial] = []
        self.books = [SlotBook(read) for _ in range(3)]  # each worker has its own
        self.looked: dict[int, NextSlot] = {}  # assignments that are not written yet
        self.clock = 0

    def n_groups(self) -> int:
        groups = [t.system_attrs[KEY][0] for t in self.trials if KEY in t.system_attrs]
        return max(groups, default=0) + 1

    def start(self) -> None:
        self.trials.append(running(len(self.trials)))

    def look(self) -> None:
        """Let a worker that has no assignment read the study and choose a slot."""
        waiting = [
            t.number
            for t in self.trials
            if t.state == TrialState.RUNNING
            and KEY not in t.system_attrs
            and not t.params
            and t.number not in self.looked
        ]
        if waiting:
            number = int(self.rng.choice(waiting))
            book = self.books[number % 3]
            book.update([self.seen(t) for t in self.trials], self.trials.__getitem__)
            self.looked[number] = next_slot(book, number, self.n_groups())
            if not self.delays:
                self.write()

    def seen(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial as a database shows it: now and then torn, if it still runs."""
        trial = copy.copy(trial)
        if trial.state == TrialState.RUNNING and trial.params and self.rng.random() < 0.3:
            trial.system_attrs = {}
        return trial

    def write(self) -> None:
        if self.looked:
            number = int(self.rng.choice(list(self.looked)))
            trial = copy.copy(self.trials[number])
            trial.system_attrs = {KEY: list(self.looked.pop(number))}
            self.trials[number] = trial
            if self.rng.random() < 0.5:
                self.suggest(number)

    def suggest(self, number: int) -> None:
        trial = copy.copy(self.trials[number])
        trial.params, trial.distributions = {"x": 0.5}, X
        self.trials[number] = trial

    def end(self) -> None:
        assigned = [
            t.number
            for t in self.trials
            if KEY in t.system_attrs and t.state == TrialState.RUNNING
        ]
        if not assigned:
            return
        number, self.clock = int(self.rng.choice(assigned)), self.clock + 1
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        state = states[int(self.rng.integers(3))]
        self.trials[number] = ended(self.trials[number], state, self.clock)
        if state == TrialState.FAIL and (not self.gives_back or self.rng.random() < 0.4):
            retried = running(len(self.trials), self.trials[number].system_attrs[KEY])
            retried.state = TrialState.WAITING
            self.trials.append(retried)

    def foreign(self) -> None:
        self.start()
        self.suggest(len(self.trials) - 1)

    def pop_queued(self) -> None:
        queued = [t.number for t in self.trials if t.state == TrialState.WAITING]
        if queued:
            trial = copy.copy(self.trials[queued[0]])
            trial.state = TrialState.RUNNING
            self.trials[trial.number] = trial

    def step(self) -> None:
        moves: list[Any] = [self.start, self.look, self.write, self.end, self.pop_queued]
        moves[int(self.rng.integers(len(moves)))]()
        if self.rng.random() < 0.02:
            self.foreign()

    def live(self) -> list[SlotKey]:
        """Return the slots of all trials that did not fail."""
        own = [t for t in self.trials if KEY in t.system_attrs and t.state != TrialState.FAIL]
        return [tuple(t.system_attrs[KEY][:2]) for t in own]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("delays", "gives_back"), [(True, False), (False, True)])
def test_workers_in_any_order_never_share_a_slot_and_leave_none_out(
    seed: int, delays: bool, gives_back: bool
) -> None:
    # with both at once they may share one until it is settled, see `_slots`
    walk = Walk(seed, delays=delays, gives_back=gives_back)
    for _ in range(400):
        walk.step()
        assert len(set(walk.live())) == len(walk.live())
    walk.looked.clear()
    for number, trial in enumerate(walk.trials):  # all end well, then a late worker fills gaps
        if not trial.state.is_finished():
            walk.trials[number] = ended(trial, TrialState.COMPLETE)
    book, n_groups = walk.books[0], walk.n_groups()
    while True:
        number = len(walk.trials)
        walk.start()
        book.update(walk.trials, walk.trials.__getitem__)
        slot = next_slot(book, number, n_groups)
        if slot.group == n_groups:
            break
        assert slot[:2] not in walk.live()
        walk.trials[number] = ended(running(number, slot), TrialState.COMPLETE)
    assert n_groups > 3
    assert all(set(book.group(group)) == set(range(SIZE)) for group in range(n_groups))


@pytest.mark.parametrize("seed", range(6))
def test_a_book_kept_up_to_date_equals_one_made_anew(seed: int) -> None:
    walk = Walk(seed, delays=True, gives_back=True)
    kept = SlotBook(read)
    for _ in range(60):
        for _ in range(4):
            walk.step()
        kept.update(walk.trials, walk.trials.__getitem__)
        anew = SlotBook(read)
        anew.update(walk.trials, walk.trials.__getitem__)
        for group in range(walk.n_groups()):
            assert kept.group(group) == anew.group(group)
        number = len(walk.trials)
        assert next_slot(kept, number, 9) == next_slot(anew, number, 9)
        assert set(kept.open_assignments()) == set(anew.open_assignments())


@pytest.mark.parametrize("seed", range(6))
def test_attempts_at_a_slot_never_repeat_but_for_copies_of_lost_trials(seed: int) -> None:
    walk = Walk(seed, delays=False, gives_back=True)
    for _ in range(400):
        walk.step()
    failed = [t for t in walk.trials if KEY in t.system_attrs and t.state == TrialState.FAIL]
    assert failed
    for slot in {tuple(t.system_attrs[KEY][:2]) for t in failed}:
        chain = [t for t in walk.trials if tuple(t.system_attrs.get(KEY, ())[:2]) == slot]
        attempts = [t.system_attrs[KEY][2] for t in chain]
        assert attempts == sorted(attempts)
        assert set(attempts) == set(range(attempts[-1] + 1))


class SettlingWalk(Walk):
    """Workers that settle their slots before the first parameter, and die at any moment."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, delays=True, gives_back=True)

    def write(self) -> None:
        if self.looked:
            number = int(self.rng.choice(list(self.looked)))
            slot = self.looked.pop(number)
            if self.trials[number].state == TrialState.RUNNING:
                trial = copy.copy(self.trials[number])
                trial.system_attrs = trial.system_attrs | {KEY: list(slot)}
                self.trials[number] = trial

    def settle(self) -> None:
        """Let a worker look whether it has its slot to itself."""
        claims = [
            t.number
            for t in self.trials
            if t.state == TrialState.RUNNING
            and KEY in t.system_attrs
            and not t.params
            and t.number not in self.looked
        ]
        if not claims:
            return
        number = int(self.rng.choice(claims))
        book = self.books[number % 3]
        book.update([self.seen(t) for t in self.trials], self.trials.__getitem__)
        moves = must_move(self.trials, number, book.rivals(number))
        if moves is False:
            self.suggest(number)
        elif moves or self.rng.random() < 0.2:
            self.looked[number] = next_slot(book, number, self.n_groups())

    def end(self) -> None:
        """End a settled trial, or let a worker die or fail, wherever it is."""
        going = [t.number for t in self.trials if t.state == TrialState.RUNNING]
        if not going:
            return
        number, self.clock = int(self.rng.choice(going)), self.clock + 1
        trial = self.trials[number]
        if trial.params and KEY in trial.system_attrs and self.rng.random() < 0.7:
            self.trials[number] = ended(trial, TrialState.COMPLETE, self.clock)
            return
        self.looked.pop(number, None)
        self.trials[number] = ended(trial, TrialState.FAIL, self.clock)
        if self.rng.random() < 0.6:  # lost, and queued again in the same transaction
            retried = copy.copy(trial)
            retried.number = retried._trial_id = len(self.trials)
            history = [*trial.system_attrs.get("retry_history", ()), number]
            retried.system_attrs = trial.system_attrs | {"retry_history": history}
            retried.state, retried.datetime_complete = TrialState.WAITING, None
            self.trials.append(retried)

    def foreign(self) -> None:
        pass

    def step(self) -> None:
        super().step()
        self.settle()


@pytest.mark.parametrize("seed", range(12))
def test_settled_trials_never_share_a_slot_whoever_fails_or_dies_when(seed: int) -> None:
    walk = SettlingWalk(seed)
    for _ in range(300):
        walk.step()
        settled = [
            tuple(t.system_attrs[KEY][:2])
            for t in walk.trials
            if KEY in t.system_attrs and t.params and t.state != TrialState.FAIL
        ]
        assert len(set(settled)) == len(settled)
    assert len(settled) > 20


def test_of_rivals_the_first_in_turn_stays_unless_another_has_parameters() -> None:
    first, second = running(0, (0, 0, 0)), running(1, (0, 0, 0))
    assert must_move([first], 0, []) is False
    assert must_move([first, second], 0, [1]) is None
    assert must_move([first, second], 1, [0]) is True
    settled = running(1, (0, 0, 0), x=0.5)
    assert must_move([first, settled], 0, [1]) is True
    copied = running(2, (0, 0, 0))
    copied.system_attrs["retry_history"] = [0]  # it has the turn of trial 0
    assert must_move([first, second, copied], 2, [1]) is None


def test_one_whose_rival_never_moves_moves_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    moved: list[int] = []
    settle(lambda: False if moved else None, lambda: moved.append(1))
    assert moved == [1]


def test_a_trial_that_waits_has_its_turn_before_one_that_runs() -> None:
    queued = running(0)
    queued.state = TrialState.WAITING
    assert next_slot(book_of(queued, running(1)), 1) == (0, 1, 0)


def test_a_copy_of_a_lost_trial_has_its_turn() -> None:
    lost, copied = ended(running(0), TrialState.FAIL), running(2)
    copied.state = TrialState.WAITING
    copied.system_attrs["retry_history"] = [0]
    assert next_slot(book_of(lost, running(1), copied), 1) == (0, 1, 0)
    assert next_slot(book_of(lost, running(1), copied), 2) == (0, 0, 0)


def test_a_slot_that_a_trial_moved_from_is_as_if_it_had_never_had_it() -> None:
    book = book_of(running(0, (0, 0, 0)), running(1, (0, 0, 0)))
    assert book.rivals(1) == {0}
    book.assign(1, Assigned((0, 1)))
    assert book.rivals(1) == set() and book.group(0)[0].assignees == {0}
    book.update([running(0, (0, 2, 0)), running(1, (0, 1, 0))], never)
    assert set(book.group(0)) == {1, 2}

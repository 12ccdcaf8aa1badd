"""Two or three workers in any order, killed between any two transactions: the invariants hold.

A state machine of Hypothesis chooses who makes the next transactions, who is killed and who is
taken for dead though it lives (as a suspended process, or one whose clock is wrong, would be).
"""

from collections import Counter
import os
from pathlib import Path
import shutil
import tempfile

from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import WORKER
from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import RecurrenceSampler
from tests.search.leases.crowd import Crowd
from tests.search.leases.crowd import is_faulty
from tests.search.leases.workers import places
from tests.search.leases.workers import value_of


SIZE = 3
N_TRIALS = 8
N_WORKERS = 3
optuna.logging.set_verbosity(optuna.logging.ERROR)


def new_sampler(name: str) -> BaseSampler:
    if name == "ga":
        return GASampler(population_size=SIZE, seed=1)
    if name == "hybrid":
        return HybridSampler(population_size=SIZE, n_generations=9, n_offspring=1, seed=1)
    return RecurrenceSampler(population_size=SIZE, seed=1)


class Workers(RuleBasedStateMachine):
    @initialize(
        name=st.sampled_from(["ga", "recurrence", "hybrid"]), batch_size=st.sampled_from([1, 2])
    )
    def begin(self, name: str, batch_size: int) -> None:
        ram = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(dir=ram))
        self.crowd = Crowd(
            self.folder,
            sampler=lambda: new_sampler(name),
            n_trials=N_TRIALS,
            batch_size=batch_size,
        )
        self.seen: dict[int, tuple[object, ...]] = {}

    @precondition(lambda self: len(self.crowd.members) < N_WORKERS)
    @rule()
    def hire(self) -> None:
        self.crowd.hire()

    @precondition(lambda self: self.crowd.members)
    @rule(which=st.integers(0, N_WORKERS - 1), n=st.integers(1, 25))
    def go_on(self, which: int, n: int) -> None:
        self.crowd.members[which % len(self.crowd.members)].go_on(n)

    @precondition(lambda self: self.crowd.members)
    @rule(which=st.integers(0, N_WORKERS - 1))
    def kill(self, which: int) -> None:
        self.crowd.kill(self.crowd.members[which % len(self.crowd.members)])

    @precondition(lambda self: self.crowd.members)
    @rule(which=st.integers(0, N_WORKERS - 1))
    def suspect(self, which: int) -> None:
        self.crowd.suspected.add(self.crowd.members[which % len(self.crowd.members)].pid)

    @invariant()
    def holds(self) -> None:
        trials = self.crowd.trials()
        check(trials)
        for trial in trials:
            if trial.state.is_finished():  # what has ended never changes
                end = (trial.state, trial.value, trial.params, trial.user_attrs)
                assert self.seen.setdefault(trial.number, end) == end
        assert len(set(self.crowd.told)) == len(self.crowd.told)
        finished = {t.number for t in trials if t.state == TrialState.COMPLETE}
        assert set(self.crowd.told) <= finished
        for member in self.crowd.members:
            assert member.error is None or isinstance(member.error, ValueError), member.error

    def teardown(self) -> None:
        if not hasattr(self, "crowd"):
            return
        try:
            self.crowd.finish()
            trials = self.crowd.trials()
            check(trials)
            states = Counter(trial.state for trial in trials)
            assert states[TrialState.COMPLETE] == N_TRIALS
            assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
            assert max(places(trials).values()) == 1
        finally:
            self.crowd.close()
            shutil.rmtree(self.folder)


def check(trials: list[FrozenTrial]) -> None:
    """Check what holds at every moment."""
    copies = Counter(
        t.system_attrs["retry_history"][-1] for t in trials if "retry_history" in t.system_attrs
    )
    assert set(copies.values()) <= {1}
    settled = [t for t in trials if t.params and t.state != TrialState.FAIL]
    assert max(places(settled).values(), default=1) == 1
    taken = (TrialState.COMPLETE, TrialState.RUNNING)
    assert sum(t.state in taken for t in trials) <= N_TRIALS
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            assert WORKER.is_in(trial.user_attrs)
        if trial.state == TrialState.FAIL:  # either its own fault, or it lives on in a copy
            assert ERROR.is_in(trial.user_attrs) != bool(copies[trial.number])
        else:
            assert not copies[trial.number]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == value_of(trial.params, 2) and not is_faulty(trial.params)


Workers.TestCase.settings = settings(
    max_examples=5,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestWorkers = Workers.TestCase


@pytest.mark.slow
class TestManyWorkers(Workers.TestCase):
    settings = settings(
        max_examples=300,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

"""Workers in threads that make one transaction at a time, in an order that a test chooses.

The database and all code are real. A worker stops before each of its transactions until the test
lets it go on; there it can be killed, as if by `kill -9`: its transaction never begins, nor does
any other. Only process numbers are made up: each thread passes for a process of its own.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from pathlib import Path
import threading
from typing import Any
from unittest import mock

import optuna
from optuna.samplers import BaseSampler
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial

from optuna_evo.samplers import _slots
from optuna_evo.search import search
from optuna_evo.search._leases import _worker
from optuna_evo.search._sqlite import SqliteStorage
from tests.search.leases.workers import Genome
from tests.search.leases.workers import space
from tests.search.leases.workers import value_of


PATIENCE_S = 60.0
_transaction = rdb._create_scoped_session


class Killed(BaseException):
    """The end of a process, which no code of it survives."""


class Curve:
    """A training of two reports that raises for some parameters."""

    def __init__(self, genomes: Sequence[Genome]) -> None:
        self.genomes, self.step = list(genomes), 0

    def advance(self) -> list[float]:
        self.step += 1
        if any(is_faulty(genome.trial.params) for genome in self.genomes):
            raise ValueError("no such model")
        return [value_of(genome.trial.params, self.step) for genome in self.genomes]

    def drop(self, alive: Sequence[bool]) -> None:
        self.genomes = [g for g, stays in zip(self.genomes, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        return [{} for _ in self.genomes]


class CurveObjective:
    n_reports = 2
    penalty = 10.0

    def start(self, configs: Sequence[Genome], *, repetition: int) -> Curve:
        return Curve(configs)

    def value(self, reported: Sequence[float]) -> float:
        return reported[-1]


def is_faulty(params: Mapping[str, float]) -> bool:
    return params["a"] > 0.9


class Member(threading.Thread):
    """One worker of a crowd."""

    def __init__(self, crowd: "Crowd", pid: int) -> None:
        super().__init__(daemon=True)
        self.crowd, self.pid = crowd, pid
        self.ended = self.killed = False
        self.error: BaseException | None = None
        self.depth = 0
        self._may_go, self._arrived = threading.Semaphore(0), threading.Semaphore(0)
        self.start()
        self._wait()

    def run(self) -> None:
        try:
            self.crowd.search()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._arrived.release()

    def pass_gate(self) -> None:
        """Wait, before a transaction, until this worker is let go on."""
        if not self.killed:
            self._arrived.release()
            self._may_go.acquire()
        if self.killed:
            raise Killed

    def go_on(self, n: int = 1) -> None:
        """Let it make n transactions."""
        for _ in range(n):
            if not self.ended:
                self._may_go.release()
                self._wait()

    def kill(self) -> None:
        self.killed = True
        self._may_go.release()
        self.join(PATIENCE_S)
        assert not self.is_alive()

    def _wait(self) -> None:
        assert self._arrived.acquire(timeout=PATIENCE_S), "a worker waits for another's lock"


class Crowd:
    """Workers on one study.

    Args:
        folder: Where the database lies.
        sampler: Makes the sampler of a worker.
        n_trials: Trials that the study is to have.
        batch_size: Trials that are trained together.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sampler: Callable[[], BaseSampler],
        n_trials: int,
        batch_size: int = 1,
    ) -> None:
        self.url = f"sqlite:///{folder / 'a.db'}"
        self.sampler, self.n_trials, self.batch_size = sampler, n_trials, batch_size
        self.members: list[Member] = []
        self.told: list[int] = []
        self.suspected: set[int] = set()
        self._n_hired = 0
        self._storages = [SqliteStorage(self.url)]
        self.study = optuna.create_study(study_name="s", storage=self._storages[0])
        self._stack = contextlib.ExitStack()
        # a thread cannot be looked up among the system's processes
        for place, name, value in (
            (rdb, "_create_scoped_session", _gated),
            (_worker, "_runs", self._runs),
            (_worker, "_started", str),
            (_worker.Worker, "this", staticmethod(_this)),
            (_slots.time, "sleep", lambda _: None),
        ):
            self._stack.enter_context(mock.patch.object(place, name, value))

    def close(self) -> None:
        for member in self.members:
            member.kill()
        self._stack.close()
        for storage in self._storages:
            storage.remove_session()
            storage.engine.dispose()

    def hire(self) -> Member:
        self._n_hired += 1
        member = Member(self, 1000 + self._n_hired)
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        member.kill()
        self.members.remove(member)

    def search(self) -> None:
        """What a worker does, from its own connection on."""
        storage = SqliteStorage(self.url, skip_table_creation=True, skip_compatibility_check=True)
        self._storages.append(storage)
        study = optuna.load_study(
            study_name="s",
            storage=storage,
            sampler=self.sampler(),
            pruner=optuna.pruners.NopPruner(),
        )
        search(
            study,
            space=space,
            objective=CurveObjective(),
            n_trials=self.n_trials,
            batch_size=self.batch_size,
            listener=self,
        )

    def started(self, trial_number: int) -> None:
        pass

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        pass

    def finished(self, trial: FrozenTrial) -> None:
        self.told.append(trial.number)

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials()

    def finish(self) -> None:
        """Kill all, and let one more worker do what is left."""
        for member in list(self.members):
            self.kill(member)
        self.suspected.clear()
        for _ in range(20):  # three failures in a row end a worker
            member = self.hire()
            while not member.ended:
                member.go_on()
            self.kill(member)
            if member.error is None:
                return
            assert isinstance(member.error, ValueError), member.error
        raise AssertionError("the search does not end")

    def _runs(self, pid: int) -> bool:
        return pid in {m.pid for m in self.members if not m.ended} - self.suspected


def _this() -> _worker.Worker:
    pid = getattr(threading.current_thread(), "pid", 1)
    return _worker.Worker(host="h", boot="b", namespace="n", started=str(pid), pid=pid)


@contextlib.contextmanager
def _gated(scoped_session: Any, ignore_integrity_error: bool = False) -> Iterator[Any]:
    member = threading.current_thread()
    if not isinstance(member, Member):
        with _transaction(scoped_session, ignore_integrity_error) as session:
            yield session
        return
    if member.depth == 0:  # a call within a transaction is part of it
        member.pass_gate()
    member.depth += 1
    try:
        with _transaction(scoped_session, ignore_integrity_error) as session:
            yield session
    finally:
        member.depth -= 1

"""The n-th call of the database fails, for every n of a small run: nothing is lost."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.search import search
from optuna_evo.search._lean import LeanStorage
from optuna_evo.search._sqlite import SqliteStorage
from tests.search.leases.crowd import CurveObjective
from tests.search.leases.test_model import check
from tests.search.leases.workers import opened
from tests.search.leases.workers import space


N_TRIALS = 4
METHODS = sorted(BaseStorage.__abstractmethods__)
_transaction = rdb._create_scoped_session


class Counter:
    """Calls so far, and which of them fails: before it is made, or after."""

    def __init__(self, nth: int | None = None, *, after: bool = False) -> None:
        self.n, self.nth, self.after = 0, nth, after

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        self.n += 1
        fails = self.n == self.nth
        if fails and not self.after:
            raise StorageInternalError("the database is away")
        yield
        if fails:
            raise StorageInternalError("the answer is lost")


class Failing(InMemoryStorage):
    counter = Counter()


def _counted(name: str) -> Callable[..., Any]:
    def method(self: Failing, *args: Any, **options: Any) -> Any:
        with self.counter.call():
            return getattr(super(Failing, self), name)(*args, **options)

    return method


for _name in METHODS:
    setattr(Failing, _name, _counted(_name))


def run(storage: BaseStorage, batch_size: int) -> list[FrozenTrial]:
    """Run a small study; where that fails, run it once more, in the same process."""
    for _ in range(2):
        with contextlib.suppress(StorageInternalError):
            study = optuna.create_study(
                study_name="s",
                storage=storage,
                load_if_exists=True,
                sampler=GASampler(population_size=2, seed=1),
                pruner=optuna.pruners.NopPruner(),
            )
            search(
                study,
                space=space,
                objective=CurveObjective(),
                n_trials=N_TRIALS,
                batch_size=batch_size,
            )
    return study.get_trials()


def results(trials: list[FrozenTrial]) -> list[tuple[dict[str, Any], float | None]]:
    check(trials)
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(done) == N_TRIALS
    assert not [t for t in trials if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    done.sort(
        key=lambda t: tuple(t.system_attrs["GASampler:ticket"][k] for k in ("generation", "slot"))
    )
    return [(t.params, t.value) for t in done]


@pytest.mark.parametrize("after", [False, True])
def test_in_memory_whichever_call_fails(after: bool) -> None:
    storage = Failing()
    storage.counter = Counter()
    undisturbed = results(run(storage, 1))
    n_calls = storage.counter.n
    assert n_calls > 60
    for nth in range(1, n_calls):  # the last one is the test's own
        storage = Failing()
        storage.counter = Counter(nth, after=after)
        assert results(run(storage, 1)) == undisturbed, nth


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_in_sqlite_whichever_transaction_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool, batch_size: int
) -> None:
    def run_with(counter: Counter, name: str) -> list[FrozenTrial]:
        depth = 0

        def counted(opened: Callable[..., Any]) -> Callable[..., Any]:
            @contextlib.contextmanager
            def counting(*args: Any) -> Iterator[Any]:
                nonlocal depth
                with counter.call() if depth == 0 else contextlib.nullcontext():
                    depth += 1
                    try:
                        with opened(*args) as session:
                            yield session
                    finally:
                        depth -= 1

            return counting

        with opened(f"sqlite:///{tmp_path / name}.db") as storage, monkeypatch.context() as patch:
            database = storage.backing  # which nobody asks again
            assert isinstance(database, SqliteStorage)
            database.heartbeat_interval = None  # it beats in a thread, at any time
            optuna.create_study(study_name="s", storage=database)
            patch.setattr(rdb, "_create_scoped_session", counted(_transaction))
            patch.setattr(LeanStorage, "_connected", counted(LeanStorage._connected))
            return run(database, batch_size)

    whole = Counter()
    undisturbed = results(run_with(whole, "whole"))
    for nth in range(1, whole.n):
        found = results(run_with(Counter(nth, after=after), f"{nth}"))
        # half a batch that comes back makes up a batch with the next trial, which is then asked
        # for before the other half has its value
        assert batch_size > 1 or found == undisturbed, nth

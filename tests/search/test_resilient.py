"""A storage before a database that goes away: nothing is done twice, and nothing is lost."""

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
import threading
from typing import Any
from typing import Literal
import uuid

import optuna
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import WRITE
from optuna_evo.errors import DiskFullError
from optuna_evo.errors import StorageError
from optuna_evo.search import open_storage
from optuna_evo.search._resilient import ResilientStorage
from tests.servers import Line
from tests.servers import MariaDB
from tests.servers import PostgreSQL


Server = PostgreSQL | MariaDB
SLOW = pytest.mark.slow
# PyMySQL does not close the sockets of lost connections
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(PostgreSQL, marks=SLOW),
        pytest.param(MariaDB, marks=[pytest.mark.mysql]),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    line = Line(server.socket)
    yield line
    line.close()


@pytest.fixture
def through_line(server: Server, line: Line) -> Iterator[ResilientStorage]:
    url = server.new_database(f"db{uuid.uuid4().hex[:12]}")
    storage = open_storage(server.through(line.port, url), patience_s=30)
    yield storage
    storage.close()


class TestMemory(StorageTestCase):
    @pytest.fixture
    def storage(self) -> BaseStorage:
        return ResilientStorage(InMemoryStorage(), url="memory://")


@pytest.mark.slow
class TestFile(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
        yield storage
        storage.close()


@pytest.mark.slow
class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage(f"journal://{tmp_path / 'a.log'}")


class TestServer(StorageTestCase):
    @pytest.fixture
    def storage(self, server: Server) -> Iterator[BaseStorage]:
        storage = open_storage(server.new_database(f"db{uuid.uuid4().hex[:12]}"))
        yield storage
        storage.close()


def new_study(storage: BaseStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], f"s{uuid.uuid4().hex}")


def _create_study(storage: BaseStorage, study: int, trial: int) -> object:
    new_study(storage)
    return len(storage.get_all_studies())


def _create_trial(storage: BaseStorage, study: int, trial: int) -> object:
    made = storage.create_new_trial(study)
    return storage.get_trial(made).number, len(storage.get_all_trials(study))


def _enqueue(storage: BaseStorage, study: int, trial: int) -> object:
    template = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"x": 1}})
    made = storage.create_new_trial(study, template)
    storage.set_trial_state_values(made, TrialState.RUNNING)
    storage.set_trial_param(made, "x", 1.0, FloatDistribution(0, 2))  # the cache knows it
    trials = storage.get_all_trials(study)
    return [(t.state, t.system_attrs, t.params) for t in trials]


def _take(storage: BaseStorage, study: int, trial: int) -> object:
    waiting = storage.create_new_trial(study, create_trial(state=TrialState.WAITING))
    _cut(storage)
    taken = storage.set_trial_state_values(waiting, TrialState.RUNNING)
    return taken, storage.set_trial_state_values(waiting, TrialState.RUNNING)


def _finish(storage: BaseStorage, study: int, trial: int) -> object:
    told = storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.1])
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.1])
    return told, storage.get_trial(trial).value, storage.get_trial(trial).system_attrs


def _write(storage: BaseStorage, study: int, trial: int) -> object:
    storage.set_trial_user_attr(trial, "a", {"b": 1})
    return storage.get_trial(trial).user_attrs


def _write_on_study(storage: BaseStorage, study: int, trial: int) -> object:
    storage.set_study_user_attr(study, "a", [1])
    return storage.get_study_user_attrs(study)


def _suggest(storage: BaseStorage, study: int, trial: int) -> object:
    storage.set_trial_param(trial, "x", 0.5, FloatDistribution(0, 1))
    return storage.get_trial(trial).params


def _report(storage: BaseStorage, study: int, trial: int) -> object:
    storage.set_trial_intermediate_value(trial, 1, float("inf"))
    return storage.get_trial(trial).intermediate_values


def _delete(storage: BaseStorage, study: int, trial: int) -> object:
    storage.delete_study(study)
    return storage.get_all_studies()


_CUTS: list[Callable[[], None]] = []


def _cut(storage: BaseStorage) -> None:
    while _CUTS:
        _CUTS.pop()()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "act",
    [_create_study, _create_trial, _enqueue, _take, _finish, _write]
    + [_write_on_study, _suggest, _report, _delete],
)
def test_a_commit_that_is_cut_is_done_exactly_once(
    through_line: ResilientStorage,
    line: Line,
    act: Callable[[BaseStorage, int, int], object],
    when: Literal["before", "after"],
) -> None:
    reference = open_storage("sqlite:///:memory:")
    results = []
    for storage in (reference, through_line):
        study = new_study(storage)
        trial = storage.create_new_trial(study)
        if storage is through_line:
            if act is _take:
                _CUTS.append(lambda: line.cut_next_commit(when))
            else:
                line.cut_next_commit(when)
        results.append(act(storage, study, trial))
    assert results[0] == results[1] and line.n_cuts == 1


def test_an_answer_that_is_lost_while_another_takes_the_trial_is_no_success(
    through_line: ResilientStorage, line: Line, server: Server
) -> None:
    study = new_study(through_line)
    trial = through_line.create_new_trial(study, create_trial(state=TrialState.WAITING))
    other = ResilientStorage(through_line.backing, url=through_line.url)
    line.cut_next_commit("before")
    pauses: list[float] = []

    def other_is_faster(seconds: float) -> None:
        pauses.append(seconds)
        assert other.set_trial_state_values(trial, TrialState.RUNNING)

    through_line._outage._pause = other_is_faster
    assert not through_line.set_trial_state_values(trial, TrialState.RUNNING)
    assert len(pauses) == 1


def test_a_restart_is_said_once_and_outlived(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    storage = open_storage(server.new_database(f"db{uuid.uuid4().hex[:12]}"), patience_s=60)
    study = optuna.create_study(storage=storage)
    server.stop()
    threading.Timer(1.0, server.start).start()
    study.set_user_attr("a", 1)
    study.enqueue_trial({"x": 1})
    assert len(study.get_trials()) == 1 and study.user_attrs == {"a": 1}
    said = [record.message for record in caplog.records if "database" in record.message]
    assert len(said) == 2
    assert said[0].startswith("The database is away (") and "trying again" in said[0]
    assert said[1].startswith("The database is back after ")
    storage.close()


def test_whoever_stays_away_is_given_up_with_the_cause(server: Server) -> None:
    storage = open_storage(server.new_database(f"db{uuid.uuid4().hex[:12]}"), patience_s=0.5)
    study = optuna.create_study(storage=storage)
    server.stop()
    try:
        with pytest.raises(StorageError, match=r"is away \(.*\); gave up after \d+ s") as caught:
            study.get_trials()
        assert "max length" not in str(caught.value) and "\n" not in str(caught.value)
    finally:
        server.start()
    study.enqueue_trial({"x": 1})
    assert len(study.get_trials()) == 1
    storage.close()


def test_what_the_database_refuses_is_said(server: Server) -> None:
    storage = open_storage(server.new_database(f"db{uuid.uuid4().hex[:12]}"))
    with pytest.raises(StorageError, match="refused: .*too long") as caught:
        storage.create_new_study([StudyDirection.MINIMIZE], "n" * 1000)
    assert "\n" not in str(caught.value)
    storage.close()


def test_tokens_are_nobodys_business(through_line: ResilientStorage) -> None:
    study = optuna.create_study(storage=through_line)
    study.enqueue_trial({"x": 0.5})
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    assert all(WRITE.key not in t.system_attrs for t in study.get_trials())
    assert all(WRITE.key not in t.system_attrs for t in study.get_trials(deepcopy=False))
    assert WRITE.key not in study.best_trial.system_attrs
    assert study.best_trial.value == min(t.value for t in study.trials if t.value is not None)


class Flaky(InMemoryStorage):
    """Raises what it is told, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def get_all_studies(self) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return super().get_all_studies()


def test_pauses_grow_and_end() -> None:
    pauses: list[float] = []
    inner = Flaky()
    storage = ResilientStorage(inner, url="journal://a.log", pause=pauses.append)
    inner.errors = [ConnectionResetError(104, "reset") for _ in range(12)]
    assert storage.get_all_studies() == []
    assert len(pauses) == 12 and max(pauses) <= 10 and pauses[0] < 0.2 < pauses[4]
    assert sum(pauses) < 60


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (
            OSError(28, "No space left on device"),
            DiskFullError,
            "The disk of journal://a.log is full",
        ),
        (OSError(13, "Permission denied"), StorageError, "journal://a.log refused: Permission"),
    ],
)
def test_what_does_not_pass_by_itself_is_said_at_once(
    error: Exception, kind: type[Exception], told: str
) -> None:
    inner = Flaky()
    storage = ResilientStorage(inner, url="journal://a.log", pause=pytest.fail)
    inner.errors = [error]
    with pytest.raises(kind, match=told):
        storage.get_all_studies()
    assert storage.get_all_studies() == []


def test_errors_of_others_are_passed_on(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(KeyError):
        storage.get_trial(1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        storage.set_study_user_attr(new_study(storage), "a", object())
    storage.close()

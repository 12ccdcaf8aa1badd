"""Claims and returns, one by one, on a real SQLite file."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
import threading

import optuna
from optuna.exceptions import StorageInternalError
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.storages._rdb import storage as rdb
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import WORKER
from optuna_evo.search import _leases as leases
from optuna_evo.search._leases import _transactions as transactions
from optuna_evo.search._sqlite import SqliteStorage
from tests.search.leases.workers import opened


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'a.db'}"


@pytest.fixture
def storage(url: str) -> Iterator[SqliteStorage]:
    with opened(url) as storage:
        database = storage.backing
        assert isinstance(database, SqliteStorage)
        yield database


@pytest.fixture
def study(storage: SqliteStorage) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=storage)


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.get_trials(deepcopy=False)]


def test_a_trial_has_its_worker_and_a_heartbeat_from_its_first_moment(
    study: optuna.Study, storage: SqliteStorage
) -> None:
    study.enqueue_trial({})
    for _ in range(2):  # one that waited, one that is new
        trial = leases.ask(study)
        assert trial.user_attrs[WORKER.key] == leases.this_worker()
        assert transactions.heard(storage, [trial._trial_id]) == {trial._trial_id}
    assert states(study) == [TrialState.RUNNING] * 2


def test_threads_that_claim_at_the_same_time_get_different_trials(url: str) -> None:
    n_trials, n_threads = 40, 4
    with opened(url) as storage:
        study = optuna.create_study(study_name="s", storage=storage)
        for _ in range(n_trials):
            study.enqueue_trial({})
    got: list[int] = []
    barrier = threading.Barrier(n_threads)

    def claim() -> None:
        with opened(url) as storage:
            own = optuna.load_study(study_name="s", storage=storage)
            barrier.wait()
            while (trial_id := leases.claim(own, n_trials)) is not None:
                got.append(trial_id)

    threads = [threading.Thread(target=claim) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Counter(got).values()) == {1} and len(got) == n_trials
    with opened(url) as storage:
        found = optuna.load_study(study_name="s", storage=storage).get_trials()
    assert len(found) == n_trials and {t.state for t in found} == {TrialState.RUNNING}


def test_optunas_own_pop_is_atomic_too(study: optuna.Study, storage: SqliteStorage) -> None:
    study.enqueue_trial({})
    trial_id = study.get_trials()[0]._trial_id
    assert storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    assert study.get_trials()[0].value == 1.0


def test_no_more_trials_are_claimed_or_made_than_there_may_be(study: optuna.Study) -> None:
    study.enqueue_trial({})
    assert leases.claim(study, 0) is None
    assert leases.claim(study, 1) is not None and leases.claim(study, 1) is None
    study.enqueue_trial({})
    assert leases.claim(study, 1) is None
    assert states(study) == [TrialState.RUNNING, TrialState.WAITING]


def test_a_trial_that_came_to_wait_after_the_look_is_claimed(study: optuna.Study) -> None:
    seen = leases.look(study)
    study.enqueue_trial({})
    trial_id = leases.claim(study, 1, seen=seen)
    assert trial_id is not None and states(study) == [TrialState.RUNNING]
    assert leases.claim(study, 1, seen=seen) is None


def test_a_new_trial_has_the_next_number_its_name_and_its_first_heartbeat(
    study: optuna.Study, storage: SqliteStorage
) -> None:
    leases.fail(study, leases.ask(study), {ERROR.key: "too large"})
    trial = leases.ask(study)
    assert [t.number for t in study.get_trials()] == [0, 1]
    assert study.get_trials()[1].user_attrs == {WORKER.key: leases.this_worker()}
    assert transactions.heard(storage, [trial._trial_id]) == {trial._trial_id}


def test_a_trial_that_is_given_back_has_one_copy_with_all_that_it_had(study: optuna.Study) -> None:
    trial = leases.ask(study)
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("note", [1])
    trial.report(0.5, 1)
    assert leases.release(study, trial.number)
    assert not leases.release(study, trial.number)
    lost, copy = study.get_trials()
    assert (lost.state, copy.state) == (TrialState.FAIL, TrialState.WAITING)
    assert copy.params == lost.params and copy.user_attrs == {"note": [1]}
    assert copy.intermediate_values == {}
    assert RetryHeartbeatStaleTrialCallback.retried_trial_number(copy) == lost.number
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(0.25, 2)
    assert leases.finish(study, trial, 1.0) is None


def test_a_copy_of_a_copy_names_all_before_it(study: optuna.Study) -> None:
    for _ in range(3):
        leases.release(study, leases.ask(study).number)
    last = study.get_trials()[-1]
    assert RetryHeartbeatStaleTrialCallback.retry_history(last) == [0, 1, 2]


def test_what_fails_in_the_middle_of_a_return_leaves_all_as_it_was(
    study: optuna.Study, storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = leases.ask(study)
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise rdb.sqlalchemy_exc.OperationalError("insert", {}, OSError("disk is full"))

        patch.setattr(storage, "_get_prepared_new_trial", full)
        with pytest.raises(StorageInternalError):
            leases.release(study, trial.number)
    assert states(study) == [TrialState.RUNNING]
    assert leases.reclaim(study) == 1  # it is known to be nobody's
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_whose_claim_was_never_answered_is_reclaimed(study: optuna.Study) -> None:
    trial = leases.ask(study)
    assert leases.reclaim(study) == 0
    leases._claims.held.let_go(study._storage, trial._trial_id)  # type: ignore[attr-defined]
    assert leases.reclaim(study) == 1


def test_a_trial_that_fails_by_its_own_fault_has_no_copy(study: optuna.Study) -> None:
    trial = leases.ask(study)
    leases.fail(study, trial, {ERROR.key: "too large"})
    again = leases.ask(study)
    again.set_user_attr(ERROR.key, "too large")  # and its worker dies
    leases.release(study, again.number)
    assert states(study) == [TrialState.FAIL] * 2


def test_a_told_trial_counts_also_if_the_answer_was_lost(study: optuna.Study) -> None:
    trial = leases.ask(study)
    study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [2.0])
    told = leases.finish(study, trial, 2.0)
    assert told is not None and told.value == 2.0
    with pytest.raises(ValueError):
        leases.finish(study, leases.ask(study), state=TrialState.WAITING)


def test_of_two_copies_that_optuna_made_the_first_is_trained(study: optuna.Study) -> None:
    trial = leases.ask(study)
    failed = study.tell(trial, state=TrialState.FAIL)
    for _ in range(2):
        RetryHeartbeatStaleTrialCallback()(study, failed)
    assert [leases.ask(study).number for _ in range(2)] == [1, 3]
    assert states(study)[2] == TrialState.FAIL


def test_a_trial_without_worker_and_heartbeat_is_given_time_from_when_it_is_seen(
    study: optuna.Study, storage: SqliteStorage
) -> None:
    study.sampler = optuna.samplers.RandomSampler()
    trial_id = storage.create_new_trial(study._study_id)  # as an earlier version, killed at once
    assert leases.has_orphans(study)
    assert leases.reclaim(study) == 0
    assert transactions.heard(storage, [trial_id]) == {trial_id}
    beats = rdb.models.TrialHeartbeatModel
    with transactions.writing(storage) as session:
        session.query(beats).update({beats.heartbeat: rdb.datetime(2020, 1, 1)})
    assert leases.reclaim(study) == 1
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]
    assert not leases.has_orphans(study)

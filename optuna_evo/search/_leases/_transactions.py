"""The transactions of an RDB storage that Optuna's interface does not have.

They join Optuna's own: the same session, the same models, the same order of locks (the study, then
the trial), so that they meet Optuna's calls and each other without a deadlock.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from datetime import datetime
import json
from typing import Any

from optuna.storages import BaseStorage
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER


__all__ = ["claim", "fail_and_requeue", "heard", "rdb_of", "return_unused", "writing"]


def rdb_of(storage: BaseStorage) -> RDBStorage | None:
    """Return the database behind a storage; None if there is none that we can write to."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, RDBStorage) else None


@contextlib.contextmanager
def writing(database: RDBStorage) -> Iterator[Any]:
    """Open a transaction whose first read is as true as its last; all of it happens, or nothing.

    Raises:
        StorageInternalError: If the database fails.
    """
    # by attribute, so that what replaces it sees these transactions too
    with rdb._create_scoped_session(database.scoped_session) as session:
        if database.engine.name == "sqlite":
            session.connection().exec_driver_sql("BEGIN IMMEDIATE").close()
        yield session


def claim(database: RDBStorage, trial_id: int, worker: str) -> bool:
    """Make a waiting trial this worker's; False if it does not wait (any more)."""
    with writing(database) as session:
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if trial.state != TrialState.WAITING:
            return False
        trial.state = TrialState.RUNNING
        trial.datetime_start = datetime.now()
        attrs = models.TrialUserAttributeModel
        database._set_trial_attr_without_commit(session, attrs, trial_id, WORKER.key, worker)
        if database.heartbeat_interval is not None:
            _forget_heartbeat(session, trial_id)
            session.add(models.TrialHeartbeatModel(trial_id=trial_id))
    return True


def fail_and_requeue(database: RDBStorage, trial: FrozenTrial, copy: FrozenTrial) -> bool:
    """Fail a running trial and queue its copy; False, and nothing is done, if it has ended."""
    with writing(database) as session:
        found = session.get(models.TrialModel, trial._trial_id)
        if found is None:  # the study was deleted
            return False
        study = models.StudyModel
        study.find_or_raise_by_id(found.study_id, session, for_update=True)
        # read again: what `get` has read may be older than the lock
        session.refresh(found, with_for_update=True)
        if found.state != TrialState.RUNNING:
            return False
        found.state = TrialState.FAIL
        found.datetime_complete = datetime.now()
        database._get_prepared_new_trial(found.study_id, copy, session)
    return True


def return_unused(database: RDBStorage, trial_id: int, worker: str) -> None:
    """Let a trial that this worker has just claimed, and not begun, wait again."""
    with writing(database) as session:
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        attrs = models.TrialUserAttributeModel
        name = attrs.find_by_trial_and_key(trial, WORKER.key, session)
        if (
            trial.state == TrialState.RUNNING
            and name
            and json.loads(str(name.value_json)) == worker
        ):
            trial.state = TrialState.WAITING
            _forget_heartbeat(session, trial_id)


def heard(database: RDBStorage, trial_ids: Sequence[int]) -> set[int]:
    """Return which of the trials somebody has ever given a heartbeat."""
    with rdb._create_scoped_session(database.scoped_session) as session:
        beats = models.TrialHeartbeatModel
        found = session.query(beats.trial_id).filter(beats.trial_id.in_(trial_ids))
        return {trial_id for (trial_id,) in found}


def _forget_heartbeat(session: Any, trial_id: int) -> None:
    beats = models.TrialHeartbeatModel
    session.query(beats).filter(beats.trial_id == trial_id).delete()

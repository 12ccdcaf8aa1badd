"""The transactions of an RDB storage that Optuna's interface does not have.

They join Optuna's own: the same session, the same models, the same order of locks (the study, then
the trial), so that they meet Optuna's calls and each other without a deadlock.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from datetime import datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER


__all__ = ["claim", "create", "fail_and_requeue", "heard", "rdb_of", "writing"]

_TAKEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


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


def claim(
    database: RDBStorage, trial: FrozenTrial, study_id: int, worker: str, n_trials: int | None
) -> bool:
    """Make a waiting trial this worker's.

    Args:
        database: The database.
        trial: The trial.
        study_id: Its study.
        worker: Name of this worker.
        n_trials: How many trials may be finished or running; None: any number.

    Returns:
        False if it does not wait (any more), or there are as many without it.
    """
    with writing(database) as session:
        if not _has_room(session, study_id, n_trials, _TAKEN):
            return False
        trial_id = trial._trial_id
        found = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if found.state != TrialState.WAITING:
            return False
        found.state = TrialState.RUNNING
        found.datetime_start = datetime.now()
        attrs = models.TrialUserAttributeModel
        database._set_trial_attr_without_commit(session, attrs, trial_id, WORKER.key, worker)
        if database.heartbeat_interval is not None:
            beats = models.TrialHeartbeatModel
            session.query(beats).filter(beats.trial_id == trial_id).delete()
            session.add(beats(trial_id=trial_id))
    return True


def create(
    database: RDBStorage, template: FrozenTrial, study_id: int, n_trials: int | None
) -> int | None:
    """Make a new trial and return its id; None if there are enough, waiting ones counted."""
    with writing(database) as session:
        if not _has_room(session, study_id, n_trials, (*_TAKEN, TrialState.WAITING)):
            return None
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        trial = database._get_prepared_new_trial(study_id, template, session)
        if database.heartbeat_interval is not None:
            session.add(models.TrialHeartbeatModel(trial_id=trial.trial_id))
        return int(trial.trial_id)


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


def heard(database: RDBStorage, trial_ids: Sequence[int]) -> set[int]:
    """Return which of the trials somebody has ever given a heartbeat."""
    with rdb._create_scoped_session(database.scoped_session) as session:
        beats = models.TrialHeartbeatModel
        found = session.query(beats.trial_id).filter(beats.trial_id.in_(trial_ids))
        return {trial_id for (trial_id,) in found}


def _has_room(
    session: Any, study_id: int, n_trials: int | None, states: Sequence[TrialState]
) -> bool:
    """Whether fewer than `n_trials` trials have these states; nobody adds one meanwhile."""
    if n_trials is None:
        return True
    models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
    trials = models.TrialModel
    found = session.query(trials).filter(trials.study_id == study_id, trials.state.in_(states))
    return bool(found.count() < n_trials)

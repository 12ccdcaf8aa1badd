"""The transactions of an RDB storage that Optuna's interface does not have.

They join Optuna's own: the same session, the same models, the same order of locks (the study, then
the trial), so that they meet Optuna's calls and each other without a deadlock.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import copy
from datetime import datetime
import json
from typing import Any

from optuna.storages import BaseStorage
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import sqlalchemy

from optuna_evo.attributes import WORKER


__all__ = ["claim", "create", "fail_and_requeue", "heard", "rdb_of", "show", "writing"]

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
) -> FrozenTrial | None:
    """Make a new trial and return it; None if there are enough, waiting ones counted.

    Args:
        database: The database.
        template: A running trial with attributes alone.
        study_id: The study.
        n_trials: How many trials may be finished, running or waiting; None: any number.
    """
    with writing(database) as session:
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        trials = models.TrialModel
        counts = sqlalchemy.select(trials.state, sqlalchemy.func.count())
        found = session.execute(counts.where(trials.study_id == study_id).group_by(trials.state))
        n_of = {state: int(n) for state, n in found}
        n_taken = sum(n_of.get(state, 0) for state in (*_TAKEN, TrialState.WAITING))
        if n_trials is not None and n_taken >= n_trials:
            return None
        # numbers are dense: it is the number of those before it, whom nobody adds to meanwhile
        number = sum(n_of.values())
        trial = trials(
            study_id=study_id,
            number=number,
            state=template.state,
            datetime_start=template.datetime_start,
        )
        session.add(trial)
        session.flush()
        trial_id = int(trial.trial_id)
        for model, attrs in (
            (models.TrialUserAttributeModel, template.user_attrs),
            (models.TrialSystemAttributeModel, template.system_attrs),
        ):
            if attrs:
                rows = [
                    {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                    for key, value in attrs.items()
                ]
                session.execute(sqlalchemy.insert(model.__table__), rows)
        if database.heartbeat_interval is not None:
            beats = models.TrialHeartbeatModel.__table__
            session.execute(sqlalchemy.insert(beats).values(trial_id=trial_id))
        made = copy.copy(template)
        made.number, made._trial_id = number, trial_id
        return made


def show(storage: BaseStorage, study_id: int, trial: FrozenTrial) -> None:
    """Have Optuna's cache know a trial that was made past it, as if it had made it."""
    cache = getattr(storage, "_inner", storage)
    if not isinstance(cache, _CachedStorage):
        storage.get_all_trials(study_id, deepcopy=False)
        return
    with cache._lock:
        cache._studies.setdefault(study_id, _StudyInfo())
        cache._add_trials_to_cache(study_id, [trial])


def fail_and_requeue(database: RDBStorage, trial: FrozenTrial, again: FrozenTrial) -> bool:
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
        database._get_prepared_new_trial(found.study_id, again, session)
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

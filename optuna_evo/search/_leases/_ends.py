"""How a trial ends, or comes back: told by its worker, given back by it, taken from a dead one."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import BEAT
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import WORKER
from optuna_evo.search._leases import _held as held
from optuna_evo.search._leases import _retried as retried
from optuna_evo.search._leases import _transactions as transactions
from optuna_evo.search._leases import _worker as workers
from optuna_evo.search._leases._retries import copy_of
from optuna_evo.search._leases._retries import has_copy


__all__ = [
    "fail",
    "finish",
    "give_back",
    "has_orphans",
    "is_taken_over",
    "leave",
    "look",
    "reclaim",
    "release",
]


def finish(
    study: optuna.Study,
    trial: optuna.Trial,
    value: float | None = None,
    state: TrialState | None = None,
) -> FrozenTrial | None:
    """Tell the study how a trial of this worker ended.

    Args:
        study: The study.
        trial: The trial.
        value: Its value, for a complete one.
        state: PRUNED or FAIL; None for a complete one.

    Returns:
        The finished trial; None if it was taken over, so that somebody else tells its end.
    """
    try:
        return study.tell(trial, value, state)
    except (UpdateFinishedTrialError, ValueError):
        found = study._storage.get_trial(trial._trial_id)
        if not found.state.is_finished():
            raise
        # Not a failure: it was told, by the call whose answer a broken connection swallowed.
        return None if found.state == TrialState.FAIL != state else found
    finally:
        held.let_go(study._storage, trial._trial_id)


def is_taken_over(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether a trial that this worker began runs no longer: nothing more is to be told."""
    return study._storage.get_trial(trial._trial_id).state.is_finished()


def give_back(study: optuna.Study, trial_id: int) -> bool:
    """Fail a running trial whose training has ended without a result, and queue its copy.

    Returns:
        Whether it ran: if not, somebody else has told its end or given it back.
    """
    try:
        trial = study._storage.get_trial(trial_id)
        return trial.state == TrialState.RUNNING and _requeue(study, trial)
    finally:
        held.let_go(study._storage, trial_id)


def release(study: optuna.Study, number: int) -> bool:
    """Give back the trial of this number; see `give_back`."""
    storage = study._storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    return give_back(study, trial_id)


def leave(study: optuna.Study, trial_ids: Sequence[int]) -> None:
    """Stop training trials without a word to the database, as a process does that is killed."""
    for trial_id in trial_ids:
        held.let_go(study._storage, trial_id)


def fail(study: optuna.Study, trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
    """Fail a trial for its own fault: it has no copy, and its place is given back.

    Args:
        study: The study.
        trial: The trial.
        attributes: What is written on it, `attributes.ERROR` first.
    """
    try:
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        finish(study, trial, state=TrialState.FAIL)
    except UpdateFinishedTrialError:  # told already, or taken over
        pass
    finally:
        held.let_go(study._storage, trial._trial_id)


def reclaim(study: optuna.Study) -> int:
    """Give back what dead workers have left, and return how many trials that are."""
    return _reclaim(study, thorough=True)[1]


def look(study: optuna.Study, *, thorough: bool = True) -> list[FrozenTrial]:
    """Give back what dead workers have left, and return all trials as they are after that.

    Args:
        study: The study.
        thorough: Whether to ask the database for silent heartbeats, too: three statements that
            are not worth while at every one of many short trials.
    """
    trials, given_back = _reclaim(study, thorough=thorough)
    return study.get_trials(deepcopy=False) if given_back else trials


def _reclaim(study: optuna.Study, *, thorough: bool) -> tuple[list[FrozenTrial], int]:
    """Return the trials as they were, and how many of them were given back."""
    storage, observer = study._storage, workers.Worker.this()
    now = held.moment(storage)
    trials = study.get_trials(deepcopy=False)
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    if not running:
        return trials, 0
    names = {trial._trial_id: WORKER.read(trial.user_attrs, "") for trial in running}
    dead = {name for name in set(names.values()) if workers.is_dead(name, observer)}
    mine = [trial_id for trial_id, name in names.items() if name == str(observer)]
    lost = held.left_behind(storage, now, mine)
    lost |= {trial_id for trial_id, name in names.items() if name in dead}
    if thorough:
        lost |= _silent(study)
    given_back = sum(give_back(study, trial_id) for trial_id in sorted(lost & names.keys()))
    if thorough:
        _hear(storage, [t for t in running if t._trial_id not in lost.union(mine)])
    return trials, given_back


def has_orphans(study: optuna.Study) -> bool:
    """Whether trials run that name no worker: dead ones, which `reclaim` gives back in time."""
    if _heartbeat_interval(study._storage) is None:
        return False
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return not all(WORKER.is_in(trial.user_attrs) for trial in running)


def _requeue(study: optuna.Study, trial: FrozenTrial) -> bool:
    storage, database = study._storage, transactions.rdb_of(study._storage)
    is_lost = not ERROR.is_in(trial.user_attrs)
    if is_lost and database is not None:
        return retried.change(
            storage,
            trial._trial_id,
            lambda: transactions.fail_and_requeue(database, trial, copy_of(trial)),
        )
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    copy_id = None
    if is_lost and not has_copy(trial.number, trials):
        copy_id = storage.create_new_trial(study._study_id, template_trial=copy_of(trial))
    try:
        return storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        if copy_id is not None and storage.get_trial(trial._trial_id).state != TrialState.FAIL:
            storage.set_trial_state_values(copy_id, TrialState.FAIL)  # it was told after all
        return False


def _heartbeat_interval(storage: BaseStorage) -> int | None:
    return storage.get_heartbeat_interval() if isinstance(storage, BaseHeartbeat) else None


def _silent(study: optuna.Study) -> frozenset[int]:
    """Return the ids of trials whose heartbeat has been silent for the grace period."""
    storage = study._storage
    if not isinstance(storage, BaseHeartbeat) or _heartbeat_interval(storage) is None:
        return frozenset()
    return frozenset(storage._get_stale_trial_ids(study._study_id))


def _hear(storage: BaseStorage, trials: Sequence[FrozenTrial]) -> None:
    """Give trials that never had a heartbeat their first, from which the grace period counts.

    Such a trial was asked for by an earlier version that was killed at once, or by hand; or its
    storage has no transactions, and its worker died before the first one.
    """
    database = transactions.rdb_of(storage)
    if _heartbeat_interval(storage) is None or not trials:
        return
    assert isinstance(storage, BaseHeartbeat)
    if database is None:
        heard = {trial._trial_id for trial in trials if BEAT.is_in(trial.system_attrs)}
    else:
        ids = [trial._trial_id for trial in trials]
        heard = retried.read(storage, transactions.heard, database, ids)
    for trial_id in sorted({trial._trial_id for trial in trials} - heard):
        storage.record_heartbeat(trial_id)

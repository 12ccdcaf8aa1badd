"""How a worker comes to a trial."""

from collections.abc import Sequence
from datetime import datetime
import warnings

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import WORKER
from optuna_evo.search._leases import _held as held
from optuna_evo.search._leases import _retried as retried
from optuna_evo.search._leases import _transactions as transactions
from optuna_evo.search._leases import _worker as workers
from optuna_evo.search._leases._retries import is_double


__all__ = ["ask", "begin", "claim"]


def ask(study: optuna.Study) -> optuna.Trial:
    """Return a trial that is this worker's: one that waited, or a new one.

    The sampler has given it a place when this returns.
    """
    trial_id = claim(study)
    assert trial_id is not None
    return begin(study, trial_id)


def claim(
    study: optuna.Study,
    n_trials: int | None = None,
    *,
    seen: Sequence[FrozenTrial] | None = None,
) -> int | None:
    """Make a trial this worker's and return its id, before the sampler has seen it.

    Args:
        study: The study.
        n_trials: How many trials may be finished or running; None: any number.
        seen: The trials as they were a moment ago, which spares a reading; None: they are read.

    Returns:
        The id; None if there are as many without it (then it waits, for whoever comes).
    """
    worker = workers.this_worker()
    study._thread_local.cached_all_trials = None  # as `study.ask` does
    with held.claiming(study._storage):
        trial_id = _claim_waiting(study, worker, n_trials, seen)
        if trial_id is None:
            trial_id = _create(study, worker, n_trials)
        if trial_id is None and seen is not None:  # one may have come to wait since
            trial_id = _claim_waiting(study, worker, n_trials, None)
        if trial_id is not None:
            held.hold(study._storage, trial_id)
    return trial_id


def begin(study: optuna.Study, trial_id: int) -> optuna.Trial:
    """Show a claimed trial to the sampler."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        return optuna.Trial(study, trial_id)


def _claim_waiting(
    study: optuna.Study, worker: str, n_trials: int | None, seen: Sequence[FrozenTrial] | None
) -> int | None:
    """Claim the first trial that waits; None if none does."""
    storage = study._storage
    if seen is None:
        seen = storage.get_all_trials(study._study_id, deepcopy=False)
    for trial in [trial for trial in seen if trial.state == TrialState.WAITING]:
        if not _try(study, trial, worker, n_trials):
            continue
        if trial.system_attrs.get("retry_history"):
            others = storage.get_all_trials(study._study_id, deepcopy=False)
            if is_double(trial, others):
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                continue
        return int(trial._trial_id)
    return None


def _try(study: optuna.Study, trial: FrozenTrial, worker: str, n_trials: int | None) -> bool:
    storage, trial_id = study._storage, trial._trial_id
    database = transactions.rdb_of(storage)
    if database is not None:
        return retried.change(
            storage,
            trial_id,
            lambda: transactions.claim(database, trial, study._study_id, worker, n_trials),
        )
    try:
        if not storage.set_trial_state_values(trial_id, TrialState.RUNNING):
            return False
        storage.set_trial_user_attr(trial_id, WORKER.key, worker)
    except UpdateFinishedTrialError:  # somebody else was faster, in all of it
        return False
    return True


def _create(study: optuna.Study, worker: str, n_trials: int | None) -> int | None:
    storage, study_id = study._storage, study._study_id
    born = create_trial(state=TrialState.RUNNING, user_attrs={WORKER.key: worker})
    born.datetime_start = datetime.now()
    database = transactions.rdb_of(storage)
    if database is None:
        return storage.create_new_trial(study_id, template_trial=born)
    made = retried.make(
        storage,
        study_id,
        born,
        lambda template: transactions.create(database, template, study_id, n_trials),
    )
    if not isinstance(made, FrozenTrial):  # none, or one that an earlier try has made
        return made
    transactions.show(storage, study_id, made)
    return int(made._trial_id)

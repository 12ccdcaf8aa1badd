"""Copy a study, so that it can go on in two ways.

`optuna.copy_study` keeps the numbers of trials but not their ids, by which the dashboard finds
its notes, and copies running trials as running, though no worker trains them.
"""

import copy
import re

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import SPEC
from optuna_evo.attributes import WORKER
from optuna_evo.errors import UsageError
from optuna_evo.objectives import kind_of
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.spec import StudySpec


__all__ = ["copy_study"]

_NOTE = re.compile(r"dashboard:(\d+):(note_.*)")


def copy_study(name: str, new_name: str, storage: BaseStorage) -> optuna.Study:
    """Copy a study within its database: trials with their numbers, attributes, notes, sources.

    A trial that is being trained is copied as one that waits to be trained. A study that goes on
    has the draws of its samplers from its name, but for those of the genetic ones, so copies
    differ from then on.

    Args:
        name: The study, made by optuna_evo or any other.
        new_name: What the copy is called.
        storage: The database.

    Raises:
        UsageError: If there is no study `name`, there is one called `new_name`, or its trials go
            on from checkpoints, which belong to one study.
    """
    names = study_names(storage)
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise UsageError(f"There is no study {name!r} in this database; there are: {known}.")
    if new_name in names:
        raise UsageError(f"There is a study {new_name!r} already; choose another name.")
    old = open_study(name, storage)
    attrs = dict(old.user_attrs)
    if SPEC.is_in(attrs):
        attrs[SPEC.key] = _renamed(SPEC.read(attrs), new_name)
    new = optuna.create_study(study_name=new_name, storage=storage, directions=old.directions)
    try:
        _fill(new, old, attrs)
    except BaseException:  # half a copy is none
        optuna.delete_study(study_name=new_name, storage=storage)
        raise
    return new


def _renamed(spec: dict[str, object], name: str) -> dict[str, object]:
    renamed = StudySpec.from_dict(spec | {"name": name})
    if kind_of(renamed).has_lineages:
        raise UsageError(
            "The trials of this study go on from checkpoints, which belong to one study: make a "
            "new one by `optuna_evo study create`."
        )
    return renamed.to_dict()


def _fill(new: optuna.Study, old: optuna.Study, attrs: dict[str, object]) -> None:
    """Copy trials first: what is written last, the spec, says that the study is whole."""
    storage = new._storage
    ids = {}
    for trial in old.get_trials(deepcopy=False):
        ids[trial._trial_id] = storage.create_new_trial(new._study_id, _template(trial))
    for key, value in storage.get_study_system_attrs(old._study_id).items():
        note = _NOTE.fullmatch(key)
        if note is not None and int(note[1]) in ids:
            key = f"dashboard:{ids[int(note[1])]}:{note[2]}"
        storage.set_study_system_attr(new._study_id, key, value)
    for key in sorted(attrs, key=lambda key: key == SPEC.key):
        new.set_user_attr(key, attrs[key])


def _template(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.RUNNING:
        return trial
    waiting = copy.deepcopy(trial)
    waiting.state = TrialState.WAITING
    waiting.intermediate_values = {}
    waiting.datetime_start = None
    for key in (WORKER.key, *WORKER.aliases):
        waiting.user_attrs.pop(key, None)
    return waiting

"""Copy a study, within its database or to another one, so that it goes on there.

`optuna.copy_study` keeps the numbers of trials but not their ids, by which the dashboard finds its
notes and Optuna's genetic samplers the parents of a generation; it copies running trials as
running, though no worker trains them; and it knows nothing of checkpoints and sources.
"""

from collections.abc import Mapping
import copy
import dataclasses
import re
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import BEAT
from optuna_evo.attributes import JUDGED
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.attributes import SOURCES
from optuna_evo.attributes import SPEC
from optuna_evo.attributes import WORKER
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import Book
from optuna_evo.objectives import kind_of
from optuna_evo.search import CheckpointStore
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.spec import StudySpec
from optuna_evo.study._stored import check_schema
from optuna_evo.study._stored import checkpoints_of
from optuna_evo.study._stored import StoredStudy
from optuna_evo.warm_start import public_url
from optuna_evo.warm_start import Reference


__all__ = ["copy_study"]

# Keys of study attributes that hold the id of a trial: notes and artifacts of the dashboard, and
# the comparisons that its users skip.
_WITH_ID = re.compile(r"(dashboard:|dashboard:artifacts:|preference:skip_trial:)(\d+)(|:.*)")
# Those whose value is a list of ids: whom Optuna's genetic samplers chose as parents.
_PARENTS = re.compile(r"\w+:parent:\d+")


def copy_study(
    name: str,
    new_name: str,
    storage: BaseStorage,
    *,
    to: BaseStorage | None = None,
    checkpoints: str | None = None,
    new_checkpoints: str | None = None,
) -> optuna.Study:
    """Copy a study: numbered trials, attributes, notes, sources, checkpoints, judgements.

    A trial that is being trained is copied as one that waits to be trained. In another database
    and under the same name, a study goes on as the original would. Under another name it has the
    same trials and other draws from then on, but for the genetic samplers and the recurrence,
    whose draws stay those of the original.

    Args:
        name: The study, made by optuna_evo or any other.
        new_name: What the copy is called.
        storage: The database.
        to: The database of the copy; None: the same.
        checkpoints: Where the checkpoints of its lineages lie, see `checkpoints_of`.
        new_checkpoints: Where those of the copy go; None: as `checkpoints_of` says.

    Raises:
        UsageError: If there is no study `name`, there is one called `new_name`, or both studies
            would have the same checkpoints.
        StorageError: If the study was made by a newer optuna_evo.

    Example:
        >>> copy_study("mine", "mine", open_storage("sqlite:///a.db"), to=open_storage(url))
    """
    names = study_names(storage)
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise UsageError(f"There is no study {name!r} in this database; there are: {known}.")
    if new_name in (names if to is None else study_names(to)):
        raise UsageError(f"There is a study {new_name!r} already; choose another name.")
    old = open_study(name, storage)
    check_schema(old)
    attrs = dict(old.user_attrs)
    if to is not None:
        attrs = _moved(attrs, _url(storage), _url(to))
    lineages = None
    if SPEC.is_in(attrs):
        spec = dataclasses.replace(StudySpec.from_dict(SPEC.read(attrs)), name=new_name)
        if kind_of(spec).has_lineages:
            if new_checkpoints is not None:
                lineage = dataclasses.replace(spec.lineage, checkpoints=new_checkpoints)
                spec = dataclasses.replace(spec, lineage=lineage)
            kept = checkpoints_of(
                StoredStudy(StudySpec.from_dict(SPEC.read(attrs)), old), checkpoints
            )
            lineages = (kept, spec)
        attrs[SPEC.key] = spec.to_dict()
    target = storage if to is None else to
    new = optuna.create_study(study_name=new_name, storage=target, directions=old.directions)
    try:
        _fill(new, old)
        if lineages is not None:
            _copy_checkpoints(lineages[0], StoredStudy(lineages[1], new), new_checkpoints)
        # what is written last, the spec, says that the study is whole
        for key in sorted(attrs, key=lambda key: key == SPEC.key):
            new.set_user_attr(key, attrs[key])
        for judged in Book(storage, name).studies():
            _copy_judged(judged, name, new_name, target)
    except BaseException:  # half a copy is none
        optuna.delete_study(study_name=new_name, storage=target)
        raise
    return new


def _fill(new: optuna.Study, old: optuna.Study) -> None:
    storage = new._storage
    ids = {}
    for trial in old.get_trials(deepcopy=False):
        ids[trial._trial_id] = storage.create_new_trial(new._study_id, _template(trial))
    for key, value in old._storage.get_study_system_attrs(old._study_id).items():
        storage.set_study_system_attr(new._study_id, *_with_new_ids(key, value, ids))


def _copy_judged(old: optuna.Study, name: str, new_name: str, target: BaseStorage) -> None:
    """Copy a study of trainings of a judgement, as one of the copy."""
    called = new_name + old.study_name.removeprefix(name)
    if called in study_names(target):
        return
    new = optuna.create_study(study_name=called, storage=target, directions=old.directions)
    _fill(new, old)
    for key, value in old.user_attrs.items():
        if key == JUDGED.key:
            value = {**value, "of": new_name + str(value["of"]).removeprefix(name)}
        new.set_user_attr(key, value)


def _with_new_ids(key: str, value: Any, ids: Mapping[int, int]) -> tuple[str, Any]:
    """Return an attribute of a study with the ids that its trials have now."""
    named = _WITH_ID.fullmatch(key)
    if named is not None and int(named[2]) in ids:
        return f"{named[1]}{ids[int(named[2])]}{named[3]}", value
    if _PARENTS.fullmatch(key) and isinstance(value, list) and all(v in ids for v in value):
        return key, [ids[v] for v in value]
    return key, value


def _template(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.RUNNING:
        return trial
    waiting = copy.deepcopy(trial)
    waiting.state = TrialState.WAITING
    waiting.intermediate_values = {}
    waiting.datetime_start = None
    waiting.system_attrs = {k: v for k, v in trial.system_attrs.items() if k != BEAT.key}
    for key in (WORKER.key, *WORKER.aliases):
        waiting.user_attrs.pop(key, None)
    return waiting


def _url(storage: BaseStorage) -> str | None:
    url = getattr(storage, "url", None)
    return None if url is None else public_url(url)


def _moved(attrs: dict[str, Any], old: str | None, new: str | None) -> dict[str, Any]:
    """Return attributes in which sources are named as seen from another database."""
    if old is None or old == new:
        return attrs

    def moved(text: str) -> str:
        reference = Reference.parse(text)
        url = reference.url or old
        return str(Reference(reference.study, None if url == new else url))

    result = dict(attrs)
    if SOURCES.is_in(attrs):
        result[SOURCES.key] = [moved(text) for text in SOURCES.read(attrs)]
    if SOURCE_WEIGHTS.is_in(attrs):
        weights = SOURCE_WEIGHTS.read(attrs)
        result[SOURCE_WEIGHTS.key] = {moved(text): value for text, value in weights.items()}
    if SPEC.is_in(attrs):
        spec = StudySpec.from_dict(SPEC.read(attrs))
        sources = tuple(moved(text) for text in spec.warm_start)
        result[SPEC.key] = dataclasses.replace(spec, warm_start=sources).to_dict()
    return result


def _copy_checkpoints(kept: CheckpointStore, new: StoredStudy, location: str | None) -> None:
    store = checkpoints_of(new, location)
    if store.place == kept.place:
        raise UsageError(
            f"The copy would have the same checkpoints as the original, in {store.place}: give it "
            "another name, or say where its own go."
        )
    kept.copy_to(store, len(new.study.get_trials(deepcopy=False)))

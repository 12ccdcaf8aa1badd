"""Studies in a database: written with their resolved spec, loaded with its sampler and pruner."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
from dataclasses import dataclass
import json
import os
from typing import Any

import optuna
from optuna.storages import BaseStorage

from optuna_evo.attributes import SCHEMA
from optuna_evo.attributes import SCHEMA_VERSION
from optuna_evo.attributes import SOURCES
from optuna_evo.attributes import SPEC
from optuna_evo.errors import SpecError
from optuna_evo.errors import StorageError
from optuna_evo.errors import StudyMismatchError
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import Book
from optuna_evo.evaluation import JUDGE_PART
from optuna_evo.names import quoted
from optuna_evo.objectives import kind_of
from optuna_evo.plugins import Allowance
from optuna_evo.search import check_trials
from optuna_evo.search import CheckpointStore
from optuna_evo.search import open_checkpoints
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.spec import StudySpec
from optuna_evo.study._foreign import allowance_of
from optuna_evo.study._foreign import check_allowed
from optuna_evo.study._foreign import foreign_names
from optuna_evo.study._foreign import with_allowance
from optuna_evo.study._parts import build_pruner
from optuna_evo.study._parts import build_sampler
from optuna_evo.study._parts import check_parts
from optuna_evo.study._parts import resolve_spec
from optuna_evo.study._parts import space_parameters
from optuna_evo.warm_start import load_sources
from optuna_evo.warm_start import read_references
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import resolve_references
from optuna_evo.warm_start import SourceReader
from optuna_evo.warm_start import write_references


__all__ = [
    "check_schema",
    "checkpoints_of",
    "create_study",
    "delete_study",
    "load_study",
    "mark_schema",
    "refresh_sources",
    "StoredStudy",
]


@dataclass(frozen=True)
class StoredStudy:
    """A study of ours with the spec it was made from."""

    spec: StudySpec
    study: optuna.Study


def create_study(
    spec: StudySpec,
    storage: BaseStorage,
    *,
    exist_ok: bool = False,
    may_extend: bool = False,
    reader: SourceReader | None = None,
) -> StoredStudy:
    """Write a new study with its resolved spec and the sources it starts from to the database.

    A wrong spec, or a source that cannot be used, leaves no trace. Passwords in references to
    sources are left out of what is stored.

    Args:
        spec: The study.
        storage: Where to.
        exist_ok: Whether a study of this name made from the same spec is taken as it is, with the
            sources it has.
        may_extend: Whether a study that differs in its number of trials only takes the new one.
        reader: Reads the sources; None: a new one.

    Raises:
        SpecError: If a part cannot be built.
        UsageError: If there is a study of this name and `exist_ok` is off, or a source cannot be
            used.
        StudyMismatchError: If there is one made from another spec.
        StorageError: If the database of a source cannot be opened.
    """
    spec = resolve_spec(spec)
    check_parts(spec)
    reader = reader or SourceReader(storage)
    public = tuple(str(reader.reference(text)) for text in spec.warm_start)
    spec = dataclasses.replace(spec, warm_start=public)
    given = Allowance(names=foreign_names(spec))  # by whoever calls, not by the database
    if spec.name in study_names(storage):
        _adopt_if_blank(spec, storage, reader)
        stored = load_study(spec.name, storage, to_run=False)
        if may_extend and stored.spec.n_trials != spec.n_trials:
            stored = _extended(stored, spec)
        if difference := _difference(stored.spec, spec):
            raise StudyMismatchError(
                f"Study {spec.name!r} was made from another spec: {difference}. Give the new one "
                f"another name, run the stored one by `optuna_evo study run {quoted(spec.name)}`, "
                f"or delete it by `optuna_evo study delete {quoted(spec.name)}`."
            )
        if not exist_ok:
            raise UsageError(
                f"There is a study {spec.name!r} already; go on with it by "
                f"`optuna_evo study run {quoted(spec.name)}`."
            )
        return load_study(spec.name, storage, reader=reader, allow_import=given)
    with contextlib.closing(reader):
        references = resolve_references(spec, space_parameters(spec), reader) if public else []
    try:
        study = optuna.create_study(
            study_name=spec.name,
            storage=storage,
            direction="minimize" if spec.direction == "minimize" else "maximize",
        )
    except optuna.exceptions.DuplicatedStudyError:  # another worker was faster
        return create_study(spec, storage, exist_ok=exist_ok, may_extend=may_extend, reader=reader)
    _write_spec(study, spec, references)
    return load_study(spec.name, storage, reader=reader, allow_import=given)


def _write_spec(study: optuna.Study, spec: StudySpec, sources: Sequence[Reference]) -> None:
    """Write all that a study is, the spec last: without it the study counts as not yet made."""
    mark_schema(study)
    if spec.warm_start:
        write_references(study, sources)
    study.set_user_attr(SPEC.key, spec.to_dict())


def _extended(stored: StoredStudy, spec: StudySpec) -> StoredStudy:
    """Write the new number of trials on a study, if that is all that differs."""
    extended = dataclasses.replace(stored.spec, n_trials=spec.n_trials)
    if _difference(extended, spec):
        return stored
    stored.study.set_user_attr(SPEC.key, extended.to_dict())
    return StoredStudy(extended, stored.study)


def mark_schema(study: optuna.Study) -> None:
    """Write the schema that trials have from now on; a study of an earlier one may have both."""
    if SCHEMA.read(study.user_attrs, 0) < SCHEMA_VERSION:
        study.set_user_attr(SCHEMA.key, SCHEMA_VERSION)


def _adopt_if_blank(spec: StudySpec, storage: BaseStorage, reader: SourceReader) -> None:
    """Finish the creation of a study whose creator was killed between its name and its spec."""
    study = open_study(spec.name, storage)
    if study.user_attrs.keys() <= {SCHEMA.key, SOURCES.key} and not study.get_trials(
        deepcopy=False
    ):
        with contextlib.closing(reader):
            references = resolve_references(spec, space_parameters(spec), reader)
        _write_spec(study, spec, references)


def load_study(
    name: str,
    storage: BaseStorage,
    *,
    reader: SourceReader | None = None,
    to_run: bool = True,
    allow_import: Allowance | Iterable[str] = (),
) -> StoredStudy:
    """Load a study of ours with the sampler and pruner of its spec.

    A source that cannot be read any more is left out with a `SourceWarning`.

    What a stored spec names as "module:attribute" is code, and whoever can write to the database
    can name any. So nothing of it is imported, neither here nor by what is done with the study
    later, unless its module is allowed.

    Args:
        name: Its name.
        storage: Its database.
        reader: Reads the sources it starts from; None: a new one.
        to_run: Whether the sampler is to propose trials; if not, sources are not read, and neither
            sampler nor pruner is built.
        allow_import: Modules, or files "FILE.py", that the stored spec may name parts of;
            "package" allows all that lies in it.

    Raises:
        UsageError: If there is no such study or it was not made by optuna_evo.
        PluginError: If it is to run and names a part of a module that is not allowed.
        StorageError: If it was made by a newer optuna_evo.
    """
    names = study_names(storage)
    if name not in names:
        known = ", ".join(sorted(n for n in names if f"{JUDGE_PART}/" not in n)) or "none"
        raise UsageError(f"There is no study {name!r} in this database; there are: {known}.")
    study = open_study(name, storage)
    attrs = study.user_attrs
    if not SPEC.is_in(attrs):
        raise UsageError(f"Study {name!r} was not made by optuna_evo: it holds no spec.")
    check_schema(study)
    check_trials(study)
    spec = with_allowance(_stored_spec(study), allowance_of(allow_import))
    if not to_run:
        return StoredStudy(spec, study)
    check_allowed(spec)
    references = read_references(study)
    with contextlib.closing(reader or SourceReader(storage)) as reader:
        sources = load_sources(references, reader)
    study.sampler = build_sampler(spec, len(study.get_trials(deepcopy=False)), sources)
    study.pruner = build_pruner(spec)
    return StoredStudy(spec, study)


def check_schema(study: optuna.Study) -> int:
    """Return the schema of a study; 0 if it has none, or was made by others.

    Raises:
        StorageError: If it is one of a newer optuna_evo, or no number.
    """
    name, schema = study.study_name, SCHEMA.read(study.user_attrs, 0)
    if not isinstance(schema, int):
        raise _damaged(name, f"its schema is {schema!r:.60} and no number")
    if schema > SCHEMA_VERSION:
        raise StorageError(
            f"Study {name!r} was made by a newer optuna_evo (schema {schema}, this one knows "
            f"{SCHEMA_VERSION}): pip install --upgrade optuna-evo."
        )
    return schema


def _stored_spec(study: optuna.Study) -> StudySpec:
    try:
        return StudySpec.from_dict(SPEC.read(study.user_attrs))
    except SpecError as error:
        raise _damaged(study.study_name, f"its spec is none of ours: {error}") from error


def _damaged(name: str, what: str) -> StorageError:
    return StorageError(f"Study {name!r} is damaged: {what}")


def refresh_sources(stored: StoredStudy, reader: SourceReader) -> list[Reference]:
    """Take up the studies that the spec's "auto" finds by now, and return the new ones.

    A worker reads sources when it loads the study: those that run already go on without.

    Raises:
        StorageError: If a database cannot be opened.
    """
    spec, known = stored.spec, read_references(stored.study)
    autos = [text for text in spec.warm_start if Reference.parse(text).is_auto]
    only_autos = dataclasses.replace(spec, warm_start=tuple(autos))
    with contextlib.closing(reader):
        found = resolve_references(only_autos, space_parameters(spec), reader) if autos else []
    new = [reference for reference in found if reference not in known]
    if new:
        write_references(stored.study, [*known, *new])
    return new


def delete_study(name: str, storage: BaseStorage, *, checkpoints: str | None = None) -> None:
    """Delete a study, whoever made it, with its checkpoints and the trainings of its judgements.

    Args:
        name: The study.
        storage: The database.
        checkpoints: Where checkpoints lie, see `checkpoints_of`.

    Raises:
        UsageError: If there is no such study.
    """
    if name not in study_names(storage):
        raise UsageError(f"There is no study {name!r} in this database.")
    with contextlib.suppress(StorageError):  # a damaged study, which has to go all the more
        study = open_study(name, storage)
        spec = _stored_spec(study) if SPEC.is_in(study.user_attrs) else None
        if spec is not None and kind_of(spec).has_lineages:
            n_trials = len(study.get_trials(deepcopy=False))
            checkpoints_of(StoredStudy(spec, study), checkpoints).clear(n_trials)
    judged = Book(storage, name).studies()
    optuna.delete_study(study_name=name, storage=storage)
    for study in judged:
        optuna.delete_study(study_name=study.study_name, storage=storage)


def checkpoints_of(stored: StoredStudy, location: str | None = None) -> CheckpointStore:
    """Open the checkpoints of a study: at `location`, `OPTUNA_EVO_CHECKPOINTS`, or by its spec."""
    named = location or os.environ.get("OPTUNA_EVO_CHECKPOINTS")
    place = named or stored.spec.lineage.checkpoints
    return open_checkpoints(stored.spec.name, stored.study._storage, place)


def _difference(old: StudySpec, new: StudySpec) -> str:
    """Return the first differing keys as "a.b: old -> new", empty if there is none."""
    flat_old, flat_new = _flatten(old.to_dict()), _flatten(new.to_dict())
    keys = sorted(set(flat_old) | set(flat_new))
    changes = [
        f"{key} was {flat_old.get(key)}, now {flat_new.get(key)}"
        for key in keys
        if flat_old.get(key) != flat_new.get(key)
    ]
    return "; ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value)
    return flat

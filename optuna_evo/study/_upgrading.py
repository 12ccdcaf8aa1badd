"""Bring the attributes of older studies to the newest schema.

Optuna lets nobody change a finished trial, so this is done in the tables: a key of an earlier
schema gets the name that it has now, in one transaction for each study. Values stay what they are.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
import sqlalchemy
from sqlalchemy import column
from sqlalchemy import Connection
from sqlalchemy import table

from optuna_evo.attributes import Attribute
from optuna_evo.attributes import ATTRIBUTES
from optuna_evo.attributes import Place
from optuna_evo.attributes import SPEC
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.study._stored import check_schema
from optuna_evo.study._stored import mark_schema


__all__ = ["upgrade_studies"]

_TABLES: dict[Place, tuple[str, str]] = {
    "trial": ("trial_user_attributes", "trial_id"),
    "trial system": ("trial_system_attributes", "trial_id"),
    "study": ("study_user_attributes", "study_id"),
    "study system": ("study_system_attributes", "study_id"),
}
_TRIALS = table("trials", column("trial_id"), column("study_id"))


def upgrade_studies(storage: BaseStorage, names: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """Bring studies to the newest schema and yield the name of each and how much was renamed.

    Done twice, the second time has nothing to do.

    Args:
        storage: The database, without workers on it.
        names: The studies; none: all that were made by optuna_evo.

    Raises:
        UsageError: If there is no such study, or it was not made by optuna_evo; nothing is
            changed then.
        StorageError: If a study is of a newer schema, or the database is a journal or a proxy.
    """
    known = study_names(storage)
    if missing := [name for name in names if name not in known]:
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(f"There is no study {missing[0]!r} in this database; there are: {there}.")
    studies = [open_study(name, storage) for name in names or known]
    foreign = [study.study_name for study in studies if not SPEC.is_in(study.user_attrs)]
    if names and foreign:
        raise UsageError(f"Study {foreign[0]!r} was not made by optuna_evo: it holds no spec.")
    ours = [study for study in studies if study.study_name not in foreign]
    for study in ours:
        check_schema(study)
    engine: Any = getattr(storage, "engine", None)
    if engine is None:
        raise StorageError(
            "Only studies in a relational database can be upgraded: copy them to one by "
            "`optuna_evo study copy NAME sqlite:///new.db`."
        )
    for study in ours:
        with engine.begin() as connection:
            n_renamed = sum(_rename(connection, study, each) for each in ATTRIBUTES)
        mark_schema(study)
        yield study.study_name, n_renamed


def _rename(connection: Connection, study: optuna.Study, attribute: Attribute) -> int:
    """Give the key of an attribute its new name wherever the study has it under an old one."""
    name, owner = _TABLES[attribute.place]
    attrs = table(name, column(owner), column("key"))
    of_study: Any = attrs.c[owner] == study._study_id
    if owner == _TRIALS.c.trial_id.name:
        mine = sqlalchemy.select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study._study_id)
        of_study = attrs.c[owner].in_(mine)
    # listed first: MySQL cannot change a table that the same statement reads
    has_new = sqlalchemy.select(attrs.c[owner]).where(of_study, attrs.c.key == attribute.key)
    new = set(connection.scalars(has_new))
    n_renamed = 0
    for alias in attribute.aliases:
        has_old = sqlalchemy.select(attrs.c[owner]).where(of_study, attrs.c.key == alias)
        for which in set(connection.scalars(has_old)) - new:
            change = sqlalchemy.update(attrs).where(attrs.c[owner] == which, attrs.c.key == alias)
            connection.execute(change.values(key=attribute.key))
            new.add(which)
            n_renamed += 1
    return n_renamed

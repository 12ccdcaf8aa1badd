"""Optuna's RDB storage with fewer statements for what a search does most often.

Optuna reads a trial by six statements and writes an attribute by two, each in a transaction with a
begin and a commit: 81 statements and as many more messages for a trial with three parameters. Here
trials are read by two statements and a value is written by one, which also checks that the trial
may be changed. The tables are Optuna's, and so is all that is not a hot path. On other databases
than SQLite and PostgreSQL everything is Optuna's.

It reaches into private methods of `RDBStorage` (`_get_trials`, `_set_trial_param`), which its
cache calls; Optuna's own tests for storages hold it to what they promise.
"""

from collections import defaultdict
from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import datetime
import functools
import json
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import check_distribution_compatibility
from optuna.distributions import distribution_to_json
from optuna.distributions import json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import sqlalchemy
from sqlalchemy import bindparam
from sqlalchemy import cast
from sqlalchemy import literal
from sqlalchemy import null
from sqlalchemy import select
from sqlalchemy import String
from sqlalchemy import union_all
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError


__all__ = ["LeanStorage"]

_DIALECTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# Each stands five times in a statement, and SQLite takes 32,766 values; more are read by Optuna.
_MOST_IDS = 5_000

_TRIALS = models.TrialModel.__table__.c
_PARAMS = models.TrialParamModel.__table__.c
_VALUES = models.TrialValueModel.__table__.c
_REPORTS = models.TrialIntermediateValueModel.__table__.c
_USER = models.TrialUserAttributeModel.__table__
_SYSTEM = models.TrialSystemAttributeModel.__table__
_IDS: Any = bindparam("ids", expanding=True)
_FINISHED = [state for state in TrialState if state.is_finished()]


def _rows(kind: str, table: Any, *columns: Any) -> Any:
    return select(literal(kind), table.trial_id, *columns).where(table.trial_id.in_(_IDS))


# What belongs to trials, one row each: kind, trial, order, name, text, number, kind of number.
# Parameters come first, since the first part of a union gives the columns their types.
_BELONGINGS = union_all(
    _rows(
        "param",
        _PARAMS,
        _PARAMS.param_id,
        _PARAMS.param_name,
        _PARAMS.distribution_json,
        _PARAMS.param_value,
        literal(""),
    ),
    *(
        _rows(
            kind, t.c, t.c[f"trial_{kind}_attribute_id"], t.c.key, t.c.value_json, null(), null()
        )
        for kind, t in (("user", _USER), ("system", _SYSTEM))
    ),
    _rows(
        "value",
        _VALUES,
        _VALUES.objective,
        null(),
        null(),
        _VALUES.value,
        cast(_VALUES.value_type, String),
    ),
    _rows(
        "report",
        _REPORTS,
        _REPORTS.step,
        null(),
        null(),
        _REPORTS.intermediate_value,
        cast(_REPORTS.intermediate_value_type, String),
    ),
)
_HEADS = select(
    _TRIALS.trial_id,
    _TRIALS.number,
    _TRIALS.state,
    _TRIALS.datetime_start,
    _TRIALS.datetime_complete,
)
_HEAD = _HEADS.where(_TRIALS.trial_id == bindparam("trial_id"))
_LATER = _TRIALS.trial_id > bindparam("later_than")
_NEW_HEADS = _HEADS.where(_TRIALS.study_id == bindparam("study_id"), _LATER)
_OPEN_HEADS = _HEADS.where(
    _TRIALS.study_id == bindparam("study_id"), sqlalchemy.or_(_TRIALS.trial_id.in_(_IDS), _LATER)
)
_STUDY_ID = models.StudyModel.__table__.c.study_id
_STUDY = select(_STUDY_ID).where(_STUDY_ID == bindparam("study_id"))
# psycopg's cursor forgets how many rows an INSERT has written once it is closed
_WITH_COUNT: Any = {"preserve_rowcount": True}
_NUMBERS = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}


class LeanStorage(RDBStorage):
    """An `RDBStorage` for many workers: equal in what it does, with fewer statements."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is now.

        Raises:
            KeyError: If there is none.
        """
        if self.engine.name not in _DIALECTS:
            return super().get_trial(trial_id)
        with self._connected() as connection:
            head = connection.execute(_HEAD, {"trial_id": trial_id}).one_or_none()
            if head is None:
                raise KeyError(models.NOT_FOUND_MSG)
            return _trials(connection, [head])[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return what the cache asks for: trials that may have changed since it last looked."""
        ids = {k for k in included_trial_ids if k <= trial_id_greater_than}
        if self.engine.name not in _DIALECTS or states is not None or len(ids) > _MOST_IDS:
            return super()._get_trials(study_id, states, ids, trial_id_greater_than)
        wanted: dict[str, Any] = {"study_id": study_id, "later_than": trial_id_greater_than}
        query = _NEW_HEADS if not ids else _OPEN_HEADS
        if ids:
            wanted["ids"] = sorted(ids)
        with self._connected() as connection:
            heads = connection.execute(query, wanted).all()
            if not heads and connection.execute(_STUDY, wanted).one_or_none() is None:
                raise KeyError(models.NOT_FOUND_MSG)
            if len(heads) <= _MOST_IDS:
                return _trials(connection, sorted(heads)) if heads else []
        return super()._get_trials(study_id, states, ids, trial_id_greater_than)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a user attribute of a trial that is not finished."""
        self._set_attribute(_USER, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write a system attribute of a trial that is not finished."""
        self._set_attribute(_SYSTEM, trial_id, key, value)

    def _set_attribute(self, table: Any, trial_id: int, key: str, value: Any) -> None:
        if self.engine.name not in _DIALECTS:
            write = (
                super().set_trial_user_attr if table is _USER else super().set_trial_system_attr
            )
            return write(trial_id, key, value)
        row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        self._insert(_attribute_insert(self.engine.name, table), row)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        """Write a parameter; the first of its name is compared with the database by Optuna."""
        if self.engine.name not in _DIALECTS or previous_distribution is None:
            super()._set_trial_param(
                trial_id, param_name, param_value_internal, distribution, previous_distribution
            )
            return
        try:
            check_distribution_compatibility(previous_distribution, distribution)
        except ValueError:  # that the trial has ended goes before, as in Optuna
            self.check_trial_is_updatable(trial_id, self.get_trial(trial_id).state)
            raise
        row = {
            "trial_id": trial_id,
            "param_name": param_name,
            "param_value": param_value_internal,
            "distribution_json": distribution_to_json(distribution),
        }
        with contextlib.suppress(IntegrityError):  # as Optuna: another has written the same
            self._insert(_param_insert(), row)

    def _insert(self, statement: Any, row: dict[str, Any]) -> None:
        """Insert a row for a trial that is not finished.

        Raises:
            KeyError: If there is no such trial.
            UpdateFinishedTrialError: If it is finished.
        """
        with self._connected() as connection:
            done = connection.execute(statement, row, execution_options=_WITH_COUNT)
            if done.rowcount > 0:
                return
            head = connection.execute(_HEAD, {"trial_id": row["trial_id"]}).one_or_none()
        if head is None:
            raise KeyError(models.NOT_FOUND_MSG)
        self.check_trial_is_updatable(row["trial_id"], head.state)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        """Yield a connection on which each statement is a transaction: two messages fewer."""
        try:
            with self.engine.connect() as connection:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise StorageInternalError(
                f"The database failed: {str(error).splitlines()[0]}"
            ) from error


@functools.cache
def _attribute_insert(dialect: str, table: Any) -> Any:
    """Return the statement that writes an attribute, or puts another value in its place."""
    insert = _DIALECTS[dialect](table).from_select(
        ["trial_id", "key", "value_json"], _of_open_trial(table, "key", "value_json")
    )
    return insert.on_conflict_do_update(
        index_elements=[table.c.trial_id, table.c.key],
        set_={"value_json": insert.excluded.value_json},
    )


@functools.cache
def _param_insert() -> Any:
    table = models.TrialParamModel.__table__
    names = ["param_name", "param_value", "distribution_json"]
    return table.insert().from_select(["trial_id", *names], _of_open_trial(table, *names))


def _of_open_trial(table: Any, *names: str) -> Any:
    """Select one row of bound values if the trial is not finished, none if it is."""
    values = [cast(bindparam(name), table.c[name].type) for name in names]
    return select(_TRIALS.trial_id, *values).where(
        _TRIALS.trial_id == bindparam("trial_id"), _TRIALS.state.not_in(_FINISHED)
    )


def _trials(connection: sqlalchemy.Connection, heads: Sequence[Any]) -> list[FrozenTrial]:
    """Return the trials of these rows with all that belongs to them."""
    found: dict[int, dict[str, list[Any]]] = {head.trial_id: defaultdict(list) for head in heads}
    for kind, trial_id, *row in connection.execute(_BELONGINGS, {"ids": list(found)}):
        found[trial_id][kind].append(row)
    return [_trial(head, found[head.trial_id]) for head in heads]


def _trial(head: Any, rows: dict[str, list[Any]]) -> FrozenTrial:
    params = [
        (name, _distribution(text), number)
        for _, name, text, number, _ in sorted(rows["param"], key=_order)
    ]
    values = [_number(number, kind) for *_, number, kind in sorted(rows["value"], key=_order)]
    return FrozenTrial(
        number=head.number,
        state=head.state,
        value=None,
        values=values or None,
        datetime_start=_local(head.datetime_start),
        datetime_complete=_local(head.datetime_complete),
        params={name: dist.to_external_repr(number) for name, dist, number in params},
        distributions={name: dist for name, dist, _ in params},
        user_attrs={
            key: json.loads(text) for _, key, text, *_ in sorted(rows["user"], key=_order)
        },
        system_attrs={
            key: json.loads(text) for _, key, text, *_ in sorted(rows["system"], key=_order)
        },
        intermediate_values={
            step: _number(number, kind)
            for step, _, _, number, kind in sorted(rows["report"], key=_order)
        },
        trial_id=head.trial_id,
    )


def _attributes(rows: list[Any]) -> dict[str, Any]:
    return {key: json.loads(text) for _, key, text, *_ in sorted(rows, key=_order)}


def _order(row: Sequence[Any]) -> Any:
    return row[0]


@functools.lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    """Return a distribution; equal ones are one object, as nobody changes them."""
    return json_to_distribution(text)


def _number(number: float | None, kind: str) -> float:
    """Return a number from what stands for it: databases know neither infinity nor NaN."""
    return _NUMBERS[kind] if number is None else number


def _local(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return a time in UTC, as it is stored, as the local one that Optuna's trials have."""
    if moment is None:
        return None
    return moment.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)

"""Which writes have landed: what to ask a server after the connection was lost in a commit.

A commit whose answer is lost was done, or not, or is about to be. So a write that must be done
exactly once - to make a trial, to take it, to finish it - leaves a token on the trial in the same
transaction. Whoever repeats it first waits for the lock that the lost transaction may still hold,
and then looks for the token.
"""

from collections.abc import Iterator
import contextlib
import copy
from dataclasses import dataclass
from dataclasses import field
import datetime
import json
import threading
from typing import Any
import uuid

from optuna.storages import BaseStorage
from optuna.storages import RDBStorage
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import sqlalchemy
from sqlalchemy import column
from sqlalchemy import event
from sqlalchemy import table
from sqlalchemy.orm import Session

from optuna_evo.attributes import WRITE


__all__ = ["AlreadyMade", "blank_study", "Landings", "made_by", "with_token", "Write"]

# Optuna's tables, which it migrates by versions of its own; these columns are its oldest.
_ATTRS = table("trial_system_attributes", column("trial_id"), column("key"), column("value_json"))
_TRIALS = table("trials", column("trial_id"), column("study_id"))


class AlreadyMade(Exception):
    """The trial that was to be made is there.

    It is no error of a database, so that Optuna, which tries five times, lets it through.
    """

    def __init__(self, trial_id: int) -> None:
        super().__init__(trial_id)
        self.trial_id = trial_id


@dataclass
class Write:
    """A write that has to be done exactly once.

    Args:
        study_id: Of a trial that is to be made: its study. None: the trial is there.
        token: What it leaves on the trial.
        n_tries: How often it was tried, by us or by Optuna.
    """

    study_id: int | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    n_tries: int = 0


def with_token(template: FrozenTrial | None, write: Write) -> FrozenTrial:
    """Return a trial to make, with a token; without a template, a running one as Optuna's are."""
    if template is None:
        trial = create_trial(state=TrialState.RUNNING)
        trial.datetime_start = datetime.datetime.now()
    else:
        trial = copy.copy(template)
    trial.system_attrs = {**trial.system_attrs, WRITE.key: write.token}
    return trial


def blank_study(name: str, storage: BaseStorage) -> int | None:
    """Return the id of a study if nobody has written anything on it yet."""
    study_id = storage.get_study_id_from_name(name)
    has_attrs = storage.get_study_user_attrs(study_id)
    is_blank = not has_attrs and not storage.get_all_trials(study_id, deepcopy=False)
    return study_id if is_blank else None


def made_by(write: Write, storage: BaseStorage) -> int | None:
    """Return the id of the trial that has the token; None if there is none."""
    assert write.study_id is not None, "it makes a trial"
    trials = storage.get_all_trials(write.study_id, deepcopy=False)
    found = (t._trial_id for t in trials if WRITE.read(t.system_attrs) == write.token)
    return next(found, None)


class Landings:
    """Tokens in the transactions of a storage.

    Args:
        storage: On a server; the transactions of a file end before our eyes and need none.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        self._local = threading.local()
        event.listen(storage.scoped_session, "before_flush", self._before_flush)

    @contextlib.contextmanager
    def of(self, write: Write) -> Iterator[None]:
        """Have what this thread writes in the block carry the token."""
        self._local.write = write
        try:
            yield
        finally:
            self._local.write = None

    def has_landed(self, write: Write, trial_id: int) -> bool:
        """Tell whether this write was the last change of a trial's state."""
        query = sqlalchemy.select(_ATTRS.c.value_json).where(*_is_token(trial_id))
        with self._storage.engine.connect() as connection:
            return bool(connection.execute(query).scalar() == json.dumps(write.token))

    def _before_flush(self, session: Session, _context: Any, _instances: Any) -> None:
        write: Write | None = getattr(self._local, "write", None)
        if write is None:
            return
        if write.study_id is None:
            for row in session.dirty:
                if _is_trial(row) and session.is_modified(row):
                    _leave(session, write, row.trial_id)
        elif any(map(_is_trial, session.new)):
            write.n_tries += 1  # the study is locked by now: who had it before has ended
            if write.n_tries > 1 and (made := _made(session, write)) is not None:
                raise AlreadyMade(made)


def _leave(session: Session, write: Write, trial_id: int) -> None:
    """Write the token over the one that is there."""
    change = sqlalchemy.update(_ATTRS).where(*_is_token(trial_id))
    value = json.dumps(write.token)
    changed: Any = session.execute(change.values(value_json=value))
    if not changed.rowcount:
        add = sqlalchemy.insert(_ATTRS)
        session.execute(add.values(trial_id=trial_id, key=WRITE.key, value_json=value))


def _made(session: Session, write: Write) -> int | None:
    """Return the trial of a study that was made by an earlier try."""
    mine = _TRIALS.c.study_id == write.study_id
    token = (_ATTRS.c.key == WRITE.key, _ATTRS.c.value_json == json.dumps(write.token))
    joined = _ATTRS.join(_TRIALS, _ATTRS.c.trial_id == _TRIALS.c.trial_id)
    found = sqlalchemy.select(_ATTRS.c.trial_id).select_from(joined).where(mine, *token)
    trial_id: int | None = session.execute(found).scalar()
    return trial_id


def _is_token(trial_id: int) -> tuple[Any, Any]:
    return _ATTRS.c.trial_id == trial_id, _ATTRS.c.key == WRITE.key


def _is_trial(row: object) -> bool:
    return getattr(row, "__tablename__", None) == _TRIALS.name

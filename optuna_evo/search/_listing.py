"""The studies of a database, whoever wrote them: one that is damaged does not hide the others.

Optuna reads the attributes of all studies to list their names, so that a single value that is no
JSON makes every list fail.
"""

from collections.abc import Sequence
import datetime
from typing import Any
from typing import NamedTuple

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import JUDGED
from optuna_evo.errors import StorageError
from optuna_evo.samplers import is_feasible


__all__ = ["check_trials", "open_study", "study_lines", "study_names", "StudyLine"]

# Oldest first, as Optuna lists them.
_QUERY = "SELECT study_name FROM studies ORDER BY study_id"
# What reading a damaged value raises: no JSON, an unknown distribution, a missing key or row.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class StudyLine(NamedTuple):
    """A study in a list.

    `problem` says why it cannot be read and is empty if it can; then the rest is known. `best` is
    None without complete trials and for several objectives. `judged` names the study of whose
    judgement it holds trainings; empty if it holds none.
    """

    name: str
    directions: Sequence[str] = ()
    n_trials: int = 0
    best: float | None = None
    started: datetime.datetime | None = None
    problem: str = ""
    judged: str = ""


def study_names(storage: BaseStorage) -> list[str]:
    """Return the names of all studies, the oldest first."""
    try:
        return optuna.get_all_study_names(storage)
    except _DAMAGED:
        engine: Any = getattr(getattr(storage, "_backend", storage), "engine", None)
        if engine is None:
            raise
        with engine.connect() as connection:
            return [name for (name,) in connection.exec_driver_sql(_QUERY)]


def study_lines(storage: BaseStorage) -> list[StudyLine]:
    """Return a line for each study."""
    return [_line(name, storage) for name in study_names(storage)]


def open_study(name: str, storage: BaseStorage) -> optuna.Study:
    """Load a study that is there, and read its attributes.

    Raises:
        StorageError: If what is stored of it cannot be read.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        study.user_attrs  # noqa: B018  # read now, so that damage is said here
    except _DAMAGED as error:
        raise StorageError(
            f"Study {name!r} is damaged: one of its attributes cannot be read ({error})."
        ) from error
    return study


def check_trials(study: optuna.Study) -> None:
    """Read the trials of a study.

    Raises:
        StorageError: If one cannot be read.
    """
    try:
        study.get_trials(deepcopy=False)
    except _DAMAGED as error:
        raise StorageError(
            f"Study {study.study_name!r} is damaged: one of its trials cannot be read "
            f"({type(error).__name__}: {error})."
        ) from error


def _line(name: str, storage: BaseStorage) -> StudyLine:
    try:
        study = open_study(name, storage)
        directions = study.directions
        trials = study.get_trials(deepcopy=False)
        best = _best(trials, directions)
    except StorageError as error:
        return StudyLine(name, problem=str(error.__cause__ or error))
    except _DAMAGED as error:
        return StudyLine(name, problem=str(error))
    started = [t.datetime_start for t in trials if t.datetime_start is not None]
    return StudyLine(
        name=name,
        directions=[direction.name.lower() for direction in directions],
        n_trials=len(trials),
        best=best,
        started=min(started, default=None),
        judged=_judged(study),
    )


def _judged(study: optuna.Study) -> str:
    told = JUDGED.read(study.user_attrs)
    return str(told.get("of", "")) if isinstance(told, dict) else ""


def _best(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> float | None:
    complete = [t for t in trials if t.state == TrialState.COMPLETE and len(directions) == 1]
    found = [float(t.value) for t in complete if t.value is not None and is_feasible(t)]
    pick = max if directions[:1] == [StudyDirection.MAXIMIZE] else min
    return pick(found) if found else None

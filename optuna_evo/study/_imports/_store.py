"""Runs from elsewhere as a study: whole, or not at all.

What is written first says that the study is imported, and its spec, written last, that it is
whole. So the rest of an import that was killed is known as such: the next import takes its place,
and no study starts from it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from optuna_evo.attributes import IMPORTED
from optuna_evo.attributes import SPEC
from optuna_evo.errors import UsageError
from optuna_evo.names import quoted
from optuna_evo.search import make_durable
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.spec import ObjectiveSpec
from optuna_evo.spec import Part
from optuna_evo.spec import StudySpec
from optuna_evo.study._imports._runs import ImportedRuns
from optuna_evo.study._imports._runs import read_runs
from optuna_evo.study._stored import mark_schema


__all__ = ["check_free", "import_runs", "store_runs"]

_KIND: Final = "imported"
_MOST_NOTES: Final = 50


def import_runs(
    name: str,
    source: str | Path | Sequence[Mapping[str, Any]],
    storage: BaseStorage,
    *,
    value: str,
    direction: str,
    params: Sequence[str] | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
) -> optuna.Study:
    """Make a finished study of runs that were never Optuna's, so that others start from it.

    Args:
        name: Name of the study.
        source: A file, or rows; see `read_runs`, as for the other arguments.
        storage: The database.
        value: The column of the value.
        direction: "minimize" or "maximize".
        params: Columns of the parameters; None: found out.
        space: Ranges of the parameters; None: inferred.

    Raises:
        UsageError: If there is a study of this name, or the runs are none that a study could be
            made of; then nothing is written.
        DataError: If the file cannot be read.

    Example:
        >>> from optuna.storages import InMemoryStorage
        >>> rows = [{"lr": 10.0**-i, "optimizer": o, "loss": i} for i in (1, 2) for o in "ab"]
        >>> study = import_runs("old", rows, InMemoryStorage(), value="loss", direction="minimize")
        >>> len(study.trials), study.best_value
        (4, 1.0)
    """
    runs = read_runs(source, value=value, direction=direction, params=params, space=space)
    return store_runs(name, runs, storage)


def store_runs(name: str, runs: ImportedRuns, storage: BaseStorage) -> optuna.Study:
    """Write runs to a new study; if that fails, there is none.

    Raises:
        UsageError: If there is a study of this name already, or the name cannot be one.
    """
    n_finished = runs.count(TrialState.COMPLETE) + runs.count(TrialState.PRUNED)
    spec = StudySpec(
        name=name,
        n_trials=n_finished,
        direction=runs.direction,
        space=Part(name=_KIND),
        sampler=Part(name="random"),
        objective=ObjectiveSpec(name=_KIND),
    )
    if check_free(name, storage):
        optuna.delete_study(study_name=name, storage=storage)
    try:
        study = optuna.create_study(study_name=name, storage=storage, direction=runs.direction)
    except optuna.exceptions.DuplicatedStudyError as error:  # another import was faster
        raise UsageError(_taken(name)) from error
    try:
        notes = [note[:500] for note in runs.notes[:_MOST_NOTES]]
        told = {"file": Path(runs.source).name, "value": runs.value, "notes": notes}
        study.set_user_attr(IMPORTED.key, told)
        mark_schema(study)
        for trial in runs.trials:
            storage.create_new_trial(study._study_id, trial)
        study.set_user_attr(SPEC.key, spec.to_dict())
        make_durable(study)
    except BaseException:  # half an import is none
        optuna.delete_study(study_name=name, storage=storage)
        raise
    return study


def check_free(name: str, storage: BaseStorage) -> bool:
    """Check that a name is free; tell whether the rest of an import that was killed has it.

    Raises:
        UsageError: If another study has it.
    """
    if name not in study_names(storage):
        return False
    attrs = open_study(name, storage).user_attrs
    if IMPORTED.is_in(attrs) and not SPEC.is_in(attrs):
        return True
    raise UsageError(_taken(name))


def _taken(name: str) -> str:
    return (
        f"There is a study {name!r} already: choose another name, or delete that one by "
        f"`optuna_evo study delete {quoted(name)}`."
    )

"""Tables: scikit-learn's embedded ones, or any file of rows and columns of the user's.

    diabetes         442 rows, 10 features, regression
    breast_cancer    569 rows, 30 features, 2 classes
    wine             178 rows, 13 features, 3 classes
    digits         1,797 rows, 64 features, 10 classes

Shape legend: n rows, f features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import cast
from typing import Final
from typing import get_args
import warnings

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError
from optuna_evo.errors import TableWarning
from optuna_evo.errors import UsageError
from optuna_evo.estimators._alone import alone_predictive
from optuna_evo.estimators._features import Features
from optuna_evo.estimators._features import listed
from optuna_evo.estimators._features import read_features
from optuna_evo.estimators._files import find_file
from optuna_evo.estimators._files import Frame
from optuna_evo.estimators._files import is_table_file
from optuna_evo.estimators._files import read_frame
from optuna_evo.estimators._target import Kind
from optuna_evo.estimators._target import read_target
from optuna_evo.estimators._target import Target


__all__ = ["load_table", "Table", "table_names"]

_EMBEDDED: Final[dict[str, Kind]] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "wine": "classification",
}
_MIN_ROWS: Final = 10


@dataclass(frozen=True, eq=False)
class Table:
    """Features, and targets to predict from them.

    Args:
        name: Name or file name.
        kind: "classification" or "regression".
        features: Array (n, f) of floats; NaN where a value is missing.
        targets: Array (n,): class numbers from 0 on, or floats.
        source: Where it came from, in words.
        names: Names of the features; none of an embedded table.
        n_texts: For each of the last features, which are codes of texts and have no order, how
            many different texts there are.
        notes: How an own file was read, in words: what counts as missing, what is left out.
    """

    name: str
    kind: Kind
    features: NDArray[np.float64]
    targets: NDArray[Any]
    source: str
    names: tuple[str, ...] = ()
    n_texts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def table_names() -> list[str]:
    """Return the names of the embedded tables, sorted."""
    return sorted(_EMBEDDED)


def load_table(
    name: str,
    *,
    target: str | None = None,
    kind: str | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    data_dir: Path | None = None,
) -> Table:
    """Read a table.

    Of an own file, separator, decimal sign, encoding and compression are found out; columns that
    are nearly all numbers are numbers, with missing values; other columns are texts; columns that
    only count rows, and texts that differ in nearly all rows, are left out, and so are rows
    without a target. What is found is said by a `TableWarning` for each kind of thing.

    Args:
        name: An embedded table, or the path of a text file (.csv, .tsv, .txt, .data; also .gz,
            .bz2, .xz, .zip of it), a parquet or a feather file, as it is or in the data folder.
        target: Column of an own file that is to be predicted; None: the last that is not empty.
        kind: "classification" or "regression"; None: by the target: classes where it holds texts,
            or at most 20 distinct values, all whole numbers, of two rows or more each; else
            regression.
        drop: Columns of an own file that are no features.
        keep: Columns that are, though they count rows or hold texts that are all different.
        data_dir: Data folder; None: `OPTUNA_EVO_DATA`.

    Raises:
        UsageError: If there is no such table, column or kind.
        DataError: If a file cannot be read or has too few rows, features or targets.

    Example:
        >>> load_table("diabetes").features.shape
        (442, 10)
    """
    if kind is not None and kind not in get_args(Kind):
        raise UsageError(f"`task.kind` must be one of {', '.join(get_args(Kind))}; got {kind!r}.")
    if name in _EMBEDDED:
        if target is not None or kind is not None or drop or keep:
            raise UsageError(
                "`task.target`, `task.kind`, `task.drop` and `task.keep` go with own files, "
                f"not {name!r}."
            )
        return _embedded(name)
    if not is_table_file(name):
        raise UsageError(
            f"A table must be one of {', '.join(table_names())}, or the path of a CSV, TSV, TXT, "
            f"parquet or feather file (text ones also as .gz, .bz2, .xz, .zip); got {name!r}."
        )
    path = find_file(name, data_dir)
    checked = cast(Kind | None, kind)
    table = _own(
        path, read_frame(path), target, checked, _names("drop", drop), _names("keep", keep)
    )
    for note in table.notes:
        warnings.warn(f"{path.name}: {note}.", TableWarning, stacklevel=2)
    return table


def _embedded(name: str) -> Table:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    source = f"scikit-learn's load_{name}"
    return Table(name, _EMBEDDED[name], np.asarray(x, dtype=np.float64), y, source)


def _names(option: str, names: Any) -> tuple[str, ...]:
    is_list = isinstance(names, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f'`task.{option}` must be a list of columns, such as ["id"]; got {names!r}.'
        )
    return tuple(names)


def _own(
    path: Path,
    frame: Frame,
    target: str | None,
    kind: Kind | None,
    drop: tuple[str, ...],
    keep: tuple[str, ...],
) -> Table:
    data, columns = frame.data, list(frame.data.columns)
    if not len(data):
        raise DataError(f"The table {path} has {len(columns)} columns, but no rows.")
    target = _last_filled(data) if target is None else target
    for option, names in (("target", (target,)), ("drop", drop), ("keep", keep)):
        if missing := [name for name in names if name not in columns]:
            raise UsageError(
                f"`task.{option}` must be a column of {path.name}: {', '.join(columns)}; "
                f"got {missing[0]!r}."
            )
    if target in drop:
        raise UsageError(f"`task.drop` names the target of {path.name}, {target!r}.")
    data = data.drop(columns=list(drop))
    y = read_target(target, data[target], path.name, kind, decimal_comma=frame.decimal_comma)
    data = data.drop(columns=target)
    x = read_features(data, path.name, keep=keep, decimal_comma=frame.decimal_comma)
    if len(y.rows) < _MIN_ROWS or not len(x.names) or y.n_different < 2:
        raise DataError(_nothing_to_learn(path, x, y))
    features = x.values[y.rows]
    alone = alone_predictive(features, y.values, y.kind)
    left_out = f" without {', '.join(drop)}" if drop else ""
    return Table(
        path.name,
        y.kind,
        features,
        y.values,
        f"{path}{left_out}",
        x.names,
        x.n_texts,
        (*frame.notes, *y.notes, *x.notes, *_alone_notes(alone, x, y, target)),
    )


def _last_filled(data: Any) -> str:
    """Return the last column that holds anything; lines may end in a separator."""
    for name in reversed(data.columns):
        column = data[name]
        if not (column.isna() | (column.astype("str").str.strip() == "")).all():
            return str(name)
    return str(data.columns[-1])


def _nothing_to_learn(path: Path, x: Features, y: Target) -> str:
    reasons = "".join(f" {note}." for note in x.notes if not x.names)
    return (
        f"The table {path} has {len(y.rows)} rows, {len(x.names)} features and {y.n_different} "
        f"distinct targets; it needs at least {_MIN_ROWS} rows, 1 feature and 2 targets.{reasons}"
    )


def _alone_notes(alone: dict[int, float], x: Features, y: Target, target: str) -> list[str]:
    if not alone:
        return []
    what = "accuracy" if y.kind == "classification" else "R²"
    found = listed([f"{x.names[i]!r} ({what} {score:.3f})" for i, score in alone.items()])
    first = x.names[next(iter(alone))]
    return [
        f"On held-out rows {target!r} is predicted by one feature alone: {found}; if that is not "
        f'known before {target!r} is, leave it out by task.drop = ["{first}"]'
    ]

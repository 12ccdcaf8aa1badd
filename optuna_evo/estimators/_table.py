"""Tables: scikit-learn's embedded ones, or any CSV or parquet file of the user's.

    diabetes         442 rows, 10 features, regression
    breast_cancer    569 rows, 30 features, 2 classes
    wine             178 rows, 13 features, 3 classes
    digits         1,797 rows, 64 features, 10 classes

Shape legend: n rows, f features.
"""

from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any
from typing import Final
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError


__all__ = ["load_table", "Table", "table_names"]

Kind = Literal["classification", "regression"]
_EMBEDDED: Final[dict[str, Kind]] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "wine": "classification",
}
_ENDINGS: Final = (".csv", ".parquet")
_KINDS: Final = ("classification", "regression")
# A column of whole numbers with more distinct values than this is a quantity, not a class.
_MAX_CLASSES: Final = 20


@dataclass(frozen=True, eq=False)
class Table:
    """Features, and targets to predict from them.

    Args:
        name: Name or file name.
        kind: "classification" or "regression".
        features: Array (n, f) of floats; NaN where a value is missing.
        targets: Array (n,): class numbers from 0 on, or floats.
        source: Where it came from, in words.
    """

    name: str
    kind: Kind
    features: NDArray[np.float64]
    targets: NDArray[Any]
    source: str


def table_names() -> list[str]:
    """Return the names of the embedded tables, sorted."""
    return sorted(_EMBEDDED)


def load_table(
    name: str, *, target: str | None = None, kind: str | None = None, data_dir: Path | None = None
) -> Table:
    """Read a table.

    In an own file, a column that is not numeric becomes one column of 0 and 1 for each of its
    values; rows without a target are left out.

    Args:
        name: An embedded table, or the path of a CSV or parquet file, as it is or in the data
            folder.
        target: Column of an own file that is to be predicted; None: the last.
        kind: "classification" or "regression"; None: classes if the target is not numeric or has
            at most 20 distinct values, all whole numbers; else regression.
        data_dir: Data folder; None: `OPTUNA_EVO_DATA`.

    Raises:
        UsageError: If there is no such table, column or kind.
        DataError: If a file cannot be read or has too few rows, features or targets.

    Example:
        >>> load_table("diabetes").features.shape
        (442, 10)
    """
    if kind is not None and kind not in _KINDS:
        raise UsageError(f"`task.kind` must be one of {', '.join(_KINDS)}; got {kind!r}.")
    if name in _EMBEDDED:
        if target is not None or kind is not None:
            raise UsageError(f"`task.target` and `task.kind` go with own files, not {name!r}.")
        return _embedded(name)
    if not name.endswith(_ENDINGS):
        raise UsageError(
            f"A table must be one of {', '.join(table_names())}, or the path of a CSV or parquet "
            f"file; got {name!r}."
        )
    return _own(_find(name, data_dir), target, kind)


def _embedded(name: str) -> Table:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    source = f"scikit-learn's load_{name}"
    return Table(name, _EMBEDDED[name], np.asarray(x, dtype=np.float64), y, source)


def _find(name: str, data_dir: Path | None) -> Path:
    folder = data_dir or os.environ.get("OPTUNA_EVO_DATA")
    places = [Path(name).expanduser(), *([Path(folder).expanduser() / name] if folder else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        searched = " and ".join(str(place) for place in places)
        raise DataError(
            f"There is no table {name!r}: searched {searched}. Give the path of a CSV or parquet "
            "file, or name the folder that holds it by `--data-dir` or OPTUNA_EVO_DATA."
        )
    return found


def _own(path: Path, target: str | None, kind: str | None) -> Table:
    import pandas as pd

    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except Exception as error:  # OSError, and what the parsers raise
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"Cannot read the table {path} ({reason}): it must be a CSV file with a header, or a "
            "parquet file."
        ) from error
    columns = [str(column) for column in frame.columns]
    frame.columns = pd.Index(columns)
    target = columns[-1] if target is None else target
    if target not in columns:
        raise UsageError(
            f"`task.target` must be a column of {path.name}: {', '.join(columns)}; got {target!r}."
        )
    frame = frame.dropna(subset=[target])
    y = frame.pop(target)
    if len(frame) < 10 or not len(frame.columns) or y.nunique() < 2:
        raise DataError(
            f"The table {path} has {len(frame)} rows, {len(frame.columns)} features and "
            f"{y.nunique()} distinct targets; it needs at least 10 rows, 1 feature and 2 targets."
        )
    kind = kind or ("classification" if _is_class(y) else "regression")
    x = pd.get_dummies(frame, dtype=float).to_numpy(dtype=np.float64)
    if kind == "classification":
        # sorted, so that class numbers do not depend on the order of the rows
        return Table(path.name, "classification", x, pd.factorize(y, sort=True)[0], str(path))
    if not pd.api.types.is_numeric_dtype(y):
        raise UsageError(
            f"The column {target!r} of {path.name} is not numeric: name another `task.target`, or "
            'set `task.kind = "classification"`.'
        )
    return Table(path.name, "regression", x, y.to_numpy(dtype=np.float64), str(path))


def _is_class(y: Any) -> bool:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(y) or pd.api.types.is_bool_dtype(y):
        return True
    return y.nunique() <= _MAX_CLASSES and bool((y % 1 == 0).all())

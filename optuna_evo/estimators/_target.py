"""What is to be predicted: classes, or numbers to regress on.

Shape legend: n rows of the file, t rows that have a target.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Final
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.estimators._columns import Column
from optuna_evo.estimators._columns import read_column
from optuna_evo.estimators._features import column_notes


__all__ = ["Kind", "read_target", "Target"]

Kind = Literal["classification", "regression"]
# A column of whole numbers with more distinct values than this is a quantity, not a class.
_MAX_CLASSES: Final = 20
# Fewer rows a class than this on average are names or texts, which nothing can be learned of.
_MIN_ROWS_A_CLASS: Final = 2


@dataclass(frozen=True, eq=False)
class Target:
    """A target column.

    Args:
        kind: "classification" or "regression".
        rows: Array (t,) of the rows that have a target.
        values: Array (t,): class numbers from 0 on, or floats.
        n_different: How many different values there are.
        notes: What is worth saying.
    """

    kind: Kind
    rows: NDArray[np.intp]
    values: NDArray[Any]
    n_different: int
    notes: Sequence[str]


def read_target(
    name: str, series: Any, source: str, kind: Kind | None, *, decimal_comma: bool
) -> Target:
    """Read the target column of a frame; rows without a target are left out.

    Raises:
        UsageError: If there are no numbers to regress on.
        DataError: If it cannot be read, or holds texts that are no classes.
    """
    column = read_column(name, series, source, decimal_comma=decimal_comma, is_target=True)
    rows = np.flatnonzero(~np.isnan(column.values))
    different, codes = np.unique(column.values[rows], return_inverse=True)
    if kind is None:
        kind = "classification" if _holds_classes(column, different, len(rows)) else "regression"
        if column.texts is not None and len(rows) < _MIN_ROWS_A_CLASS * len(different):
            raise DataError(_no_classes(column, source, len(different), len(rows)))
    elif kind == "regression" and column.texts is not None:
        raise UsageError(
            f"The column {name!r} of {source} is not numeric: name another `task.target`, or set "
            f'`task.kind = "classification"`; it holds texts such as {column.texts[0]!r}.'
        )
    values = codes if kind == "classification" else column.values[rows]
    notes = column_notes([column])
    if n_left_out := len(column.values) - len(rows):
        notes.append(f"Left out: {n_left_out} rows without a target, {name!r}")
    return Target(kind, rows, values, len(different), notes)


def _holds_classes(column: Column, different: NDArray[np.float64], n_rows: int) -> bool:
    if column.texts is not None or column.is_truth:
        return True
    is_whole = bool((different % 1 == 0).all()) and not column.is_quantity
    n_classes = len(different)
    return is_whole and n_classes <= _MAX_CLASSES and n_rows >= _MIN_ROWS_A_CLASS * n_classes


def _no_classes(column: Column, source: str, n_different: int, n_rows: int) -> str:
    texts = ", ".join(repr(text) for text in (column.texts or ())[:3])
    return (
        f"The target {column.name!r} of {source} holds text, {n_different} different ones in "
        f"{n_rows} rows ({texts}, …): neither numbers nor classes. Name another column as "
        f'task.target, write numbers only, or set task.kind = "classification".'
    )

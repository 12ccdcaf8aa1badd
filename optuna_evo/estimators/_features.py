"""Which columns of a file become features, and what is said about them.

Shape legend: n rows, f features.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import re
from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optuna_evo.estimators._build import MAX_COLUMNS
from optuna_evo.estimators._build import MAX_COLUMNS_OF_OTHERS
from optuna_evo.estimators._columns import Column
from optuna_evo.estimators._columns import read_column


__all__ = ["column_notes", "Features", "listed", "read_features"]

# Texts so different that next to nothing is known of any one of them.
_MANY_TEXTS: Final = 20
_DIFFERENT_SHARE: Final = 0.9
_FILLED_SHARE: Final = 0.9
# Whole numbers, each once and in order, with no more gaps than rows: some rows are gone.
_MAX_GAPS: Final = 2.0
_INDEX: Final = re.compile(r"unnamed: ?\d+(\.\d+)*|(__index_)?level_\d+(__)?", re.IGNORECASE)
_ID: Final = re.compile(
    r"(?i:(.*[ _.:-])?id|index|idx|row|rows|row[ _]?(id|nr|no|num|number|names?)|nr|s\.? ?no\.?|#)"
    r"|.*[a-z](Id|ID)"
)
_N_SHOWN: Final = 6
_COUNTS: Final = "counts the rows"
_EMPTY: Final = "is empty"


@dataclass(frozen=True, eq=False)
class Features:
    """Columns as one array.

    Args:
        values: Array (n, f) of floats; NaN where a value is missing.
        names: Their names, those of texts last.
        n_texts: For each of the last columns, which hold codes of texts, how many there are.
        notes: What is worth saying.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    n_texts: tuple[int, ...]
    notes: tuple[str, ...]


def read_features(data: Any, source: str, *, keep: Sequence[str], decimal_comma: bool) -> Features:
    """Read the features of a frame without its target.

    Args:
        data: A pandas frame.
        source: The file, for messages.
        keep: Columns that are features whatever they look like.
        decimal_comma: What the file shows (see `read_numbers`).

    Raises:
        DataError: If a column cannot be read.
    """
    columns = [
        read_column(name, data[name], source, decimal_comma=decimal_comma) for name in data.columns
    ]
    left_out = {
        column.name: reason
        for column in columns
        if column.name not in keep and (reason := _reason_to_leave_out(column))
    }
    counters = [name for name, reason in left_out.items() if reason == _COUNTS]
    if len(left_out) == len(columns) and counters:  # what is alone is no index of anything
        del left_out[counters[-1]]
    used = [column for column in columns if column.name not in left_out]
    used = [c for c in used if c.texts is None] + [c for c in used if c.texts is not None]
    values = [column.values for column in used] or [np.empty((0, len(data)))]
    return Features(
        np.column_stack(values) if used else np.empty((len(data), 0)),
        tuple(column.name for column in used),
        tuple(len(column.texts) for column in used if column.texts is not None),
        (*_left_out_notes(left_out), *column_notes(used), *_encoding_notes(used)),
    )


def listed(items: Sequence[str]) -> str:
    """Return the first items, and how many more there are.

    Example:
        >>> listed(["a", "b"])
        'a, b'
    """
    rest = len(items) - _N_SHOWN
    return ", ".join(items[:_N_SHOWN]) + (f", … ({rest} more)" if rest > 0 else "")


def column_notes(columns: Sequence[Column]) -> list[str]:
    """Return what is worth saying about how columns were read, a line for each kind of thing."""
    notes = []
    if missing := [f"{c.name!r} ({_counted(c)})" for c in columns if c.missing]:
        notes.append(f"Taken as missing in {listed(missing)}")
    if written := [
        f"{c.name!r} ({c.example[0]!r} is {c.example[1]})" for c in columns if c.example
    ]:
        notes.append(f"Read as numbers: {listed(written)}")
    if mixed := [f"{c.name!r} ({c.mixed})" for c in columns if c.mixed]:
        notes.append(f"Read as texts: {listed(mixed)}")
    return notes


def _reason_to_leave_out(column: Column) -> str | None:
    values = column.values[~np.isnan(column.values)]
    n = len(values)
    if not n:
        return _EMPTY
    n_different = len(np.unique(values))
    if column.texts is None:
        is_filled = n >= _FILLED_SHARE * len(column.values)  # sums below a table have no number
        is_index = is_filled and _is_index(column.name, values, n_different)
        return _COUNTS if is_index else None
    is_free = n_different > _MANY_TEXTS and n_different >= _DIFFERENT_SHARE * n
    if is_free or (n_different == n > 1):
        return f"has {n_different:,} different texts in {n:,} rows"
    return None


def _is_index(name: str, values: NDArray[np.float64], n_different: int) -> bool:
    """Return whether whole numbers only say which row it is."""
    if (values % 1 != 0).any() or len(values) < 2:
        return False
    if _INDEX.fullmatch(name):
        return True
    if n_different < len(values):
        return False
    steps = np.diff(values)
    is_ordered = bool((steps > 0).all() or (steps < 0).all())
    is_dense = bool(np.ptp(values) < _MAX_GAPS * len(values))
    return (is_ordered and is_dense) or _ID.fullmatch(name) is not None


def _left_out_notes(left_out: dict[str, str]) -> Iterator[str]:
    if left_out:
        reasons = [f"{name!r} {reason}" for name, reason in left_out.items()]
        filled = [name for name, reason in left_out.items() if reason != _EMPTY]
        how = f'; task.keep = ["{filled[0]}"] would keep it' if filled else ""
        yield f"Left out: {listed(reasons)}{how}"


def _encoding_notes(columns: Sequence[Column]) -> Iterator[str]:
    many = [
        f"{column.name!r} ({len(column.texts):,} different texts)"
        for column in columns
        if column.texts is not None and len(column.texts) > MAX_COLUMNS
    ]
    if many:
        yield (
            "Encoded by the mean target of each text, not by a column for each, where there are "
            f"more than {MAX_COLUMNS} (trees) or {MAX_COLUMNS_OF_OTHERS} (others): {listed(many)}"
        )


def _counted(column: Column) -> str:
    return listed([f"{text!r} {n}x" for text, n in column.missing.items()])

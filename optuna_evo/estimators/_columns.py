"""One column of a file: numbers with missing values, or texts with a code each.

A column that is nearly all numbers is numeric: the few other texts in it, such as "?" or "n.d.",
stand for missing values. Which texts did is kept, to be said.

Shape legend: n rows, u different texts.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import numbers
from typing import Any
from typing import Final
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError
from optuna_evo.estimators._numbers import decimal_votes
from optuna_evo.estimators._numbers import read_numbers


__all__ = ["Column", "has_decimal_comma", "read_column"]

# What pandas reads as missing but for "None", which may be a class; in lower case.
_EMPTY: Final = frozenset(
    ["", "na", "n/a", "nan", "-nan", "null", "<na>", "#n/a", "#na", "#n/a n/a"]
    + ["1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"]
)
# What else stands for a missing number, and might be a value among words.
_MARKERS: Final = _EMPTY | frozenset(
    ["?", "??", "???", "-", "--", "---", "–", "—", ".", "..", "...", "*", "**", "/", "\\n", "_"]
    + ["none", "nil", "n.a.", "n. a.", "n.a", "na.", "n.d.", "n.d", "n. d.", "nd", "k.a.", "s/d"]
    + ["missing", "unknown", "unk", "not available", "not applicable", "undefined", "(null)"]
    + ["#div/0!", "#value!", "#ref!", "#null!", "#num!", "#name?"]
)
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
# Other texts than the markers stand for missing numbers if they are rare, or few and always the
# same ones in a column that measures rather than counts up to a handful of kinds.
_MIN_NUMBERS: Final = 20  # different ones
_MAX_RARE: Final = 0.05  # of the rows
_MAX_KINDS: Final = 3  # of other texts
_MAX_KINDS_SHARE: Final = 0.5  # of the rows
_DATE: Final = r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?"
# Single precision, in which trees compute, ends here.
_MAX_NUMBER: Final = float(np.finfo(np.float32).max)
_N_VOTERS: Final = 200


@dataclass(frozen=True, eq=False)
class Column:
    """What a column holds.

    Args:
        name: Its name.
        values: Array (n,): numbers, or codes of texts; NaN where a value is missing.
        texts: The texts (u,) of the codes; None: the values are numbers.
        is_truth: Whether it holds true and false, as 1 and 0.
        is_quantity: Whether it must be one: money, percentages, dates.
        missing: How often each text that is not empty was taken as missing.
        example: A text that is no plain number, and how it was read; None: there is none.
    """

    name: str
    values: NDArray[np.float64]
    texts: Sequence[str] | None = None
    is_truth: bool = False
    is_quantity: bool = False
    missing: Mapping[str, int] = field(default_factory=dict)
    example: tuple[str, str] | None = None


class _Texts(NamedTuple):
    """Different texts (u,) and where they are: the code of each row (n,), -1 where it is empty."""

    texts: list[str]
    codes: NDArray[np.int64]

    def counts(self) -> NDArray[np.int64]:
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))
        return np.asarray(found, dtype=np.int64)

    def spread(self, values: Any) -> NDArray[np.float64]:
        """Return the value of each row from those of the texts."""
        return np.append(np.asarray(values, dtype=np.float64), np.nan)[self.codes]


def read_column(
    name: str,
    series: Any,
    source: str,
    *,
    decimal_comma: bool = False,
    is_target: bool = False,
) -> Column:
    """Read a column of a pandas frame.

    Args:
        name: Its name.
        series: The column.
        source: The file, for messages.
        decimal_comma: What the rest of the file shows (see `read_numbers`).
        is_target: Whether rare texts among a few numbers are classes rather than missing.

    Raises:
        DataError: If it holds lists, complex or infinite numbers.
    """
    column = _typed(name, series, source)
    if column is None:
        column = _of_texts(name, _texts(name, series, source), decimal_comma, is_target)
    if column.texts is None:
        _refuse_infinite(column, source)
    return column


def has_decimal_comma(columns: Sequence[Any], separator: str | None) -> bool:
    """Return whether texts of several columns show a decimal comma rather than a point.

    Where none shows either, files whose fields are parted by semicolons have commas.
    """
    points = commas = 0
    for column in columns:
        n_point, n_comma = decimal_votes([text.strip() for text in column.unique()[:_N_VOTERS]])
        points += n_point > n_comma
        commas += n_comma > n_point
    return commas > points or (points == commas == 0 and separator == ";")


def _typed(name: str, series: Any, source: str) -> Column | None:
    """Read a column that has a type; None: it holds objects, texts or categories."""
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(series):
        return Column(name, series.to_numpy(np.float64, na_value=np.nan), is_truth=True)
    if types.is_complex_dtype(series):
        raise DataError(f"The column {name!r} of {source} holds complex numbers.")
    if types.is_numeric_dtype(series):
        return Column(name, series.to_numpy(np.float64, na_value=np.nan))
    if types.is_timedelta64_dtype(series):
        return _duration(name, series)
    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    if types.is_datetime64_any_dtype(series):
        return _dates(name, series)
    return None


def _duration(name: str, series: Any) -> Column:
    values = series.dt.total_seconds().to_numpy(np.float64)
    return Column(name, values, is_quantity=True)


def _dates(name: str, series: Any) -> Column:
    """Return dates as days since 1970."""
    import pandas as pd

    series = pd.to_datetime(series, utc=True)
    days = (series - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    values = days.to_numpy(np.float64)
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return Column(name, values, is_quantity=True)
    first = int(there[0])
    example = (f"{series.iloc[first]:%Y-%m-%d}", f"{values[first]:g} days since 1970")
    return Column(name, values, is_quantity=True, example=example)


def _texts(name: str, series: Any, source: str) -> _Texts:
    import pandas as pd

    if not isinstance(series.dtype, pd.StringDtype):
        series = _plain_objects(name, series, source)
    codes, texts = pd.factorize(series.astype("str").str.strip().astype(object), sort=True)
    return _Texts([str(text) for text in texts], np.asarray(codes, dtype=np.int64))


def _plain_objects(name: str, series: Any, source: str) -> Any:
    """Return texts of objects; missing ones stay missing."""
    import pandas as pd

    series = series.astype(object)
    is_plain = series.map(lambda v: isinstance(v, str | bytes | numbers.Number) or _is_scalar(v))
    if not is_plain.all():
        row = int(np.flatnonzero(~is_plain.to_numpy(dtype=bool))[0])
        kind = type(series.iloc[row]).__name__
        raise DataError(
            f"The column {name!r} of {source} holds a {kind} in row {row + 1}; a feature is a "
            f"number or a text: write its parts into columns, or leave it out by "
            f"task.drop = [{name!r}]."
        )
    decoded = series.map(lambda v: v.decode("latin-1") if isinstance(v, bytes) else v)
    return decoded.where(~pd.isna(decoded), "").map(str)


def _is_scalar(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value))


def _of_texts(name: str, all_texts: _Texts, decimal_comma: bool, is_target: bool) -> Column:
    texts, counts = all_texts.texts, all_texts.counts()
    lower = [text.lower() for text in texts]
    is_marker = np.array([text in _MARKERS for text in lower], dtype=bool)
    is_empty = np.array([text in _EMPTY for text in lower], dtype=bool)
    rest = [text for text, marker in zip(texts, is_marker, strict=True) if not marker]
    if is_empty.all():
        return Column(name, all_texts.spread(np.full(len(texts), np.nan)))
    if rest and all(text.lower() in _TRUTHS for text in rest):
        truths = all_texts.spread([_TRUTHS.get(text, np.nan) for text in lower])
        return Column(name, truths, is_truth=True, missing=_said(texts, counts, is_marker))
    if (dates := _read_dates(rest)) is not None:
        spread = _dates(name, dates)
        values = np.full(len(texts), np.nan)
        values[~is_marker] = spread.values
        return Column(
            name,
            all_texts.spread(values),
            is_quantity=True,
            missing=_said(texts, counts, is_marker),
            example=spread.example,
        )
    read = read_numbers(rest, decimal_comma=decimal_comma)
    values = np.full(len(texts), np.nan)
    values[~is_marker] = read.values
    is_number = ~np.isnan(values)
    if _is_numeric(counts[is_number], counts[~is_number & ~is_marker], is_target):
        example = None
        if read.example is not None:
            example = (read.example, f"{read.values[rest.index(read.example)]:.12g}")
        return Column(
            name,
            all_texts.spread(values),
            is_quantity=read.has_unit,
            missing=_said(texts, counts, ~is_number),
            example=example,
        )
    kept = np.flatnonzero(~is_empty)
    codes = np.full(len(texts), np.nan)
    codes[kept] = np.arange(len(kept))
    return Column(name, all_texts.spread(codes), texts=[texts[i] for i in kept.tolist()])


def _is_numeric(numeric: NDArray[np.int64], others: NDArray[np.int64], is_target: bool) -> bool:
    """Decide by how often each number and other text occurs; known markers are neither."""
    if not len(numeric) or not len(others):
        return bool(len(numeric))
    share = others.sum() / (numeric.sum() + others.sum())
    is_measured, are_few = len(numeric) > _MIN_NUMBERS, len(others) <= _MAX_KINDS
    if share <= _MAX_RARE:
        return is_measured or (are_few and not is_target)  # else it might be a rare class
    return is_measured and are_few and bool(share <= _MAX_KINDS_SHARE)


def _said(texts: Sequence[str], counts: Any, is_missing: Any) -> dict[str, int]:
    """Return how often each text that is not empty is missing, the commonest first."""
    found = {t: int(n) for t, n, m in zip(texts, counts, is_missing, strict=True) if m and t}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _read_dates(texts: Sequence[str]) -> Any:
    """Return the dates (u,) if all texts are dates as ISO 8601 has them, else None."""
    import pandas as pd

    series = pd.Series(texts, dtype="str")
    if not texts or not series.str.fullmatch(_DATE).all():
        return None
    dates = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    return None if dates.isna().any() else dates


def _refuse_infinite(column: Column, source: str) -> None:
    wrong = np.flatnonzero(np.abs(column.values) > _MAX_NUMBER)
    if len(wrong):
        raise DataError(
            f"The column {column.name!r} of {source} holds {column.values[wrong[0]]:g} in row "
            f"{wrong[0] + 1}; numbers must lie within ±3.4e38: leave the cell empty, which counts "
            "as missing."
        )

"""Columns that have a type, as those of a parquet file do: numbers, truths, dates, objects.

Shape legend: n rows.
"""

import numbers
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError


__all__ = ["day_numbers", "plain_texts", "Typed", "typed_values"]


class Typed(NamedTuple):
    """Numbers of a column.

    Args:
        values: Array (n,); NaN where one is missing.
        is_truth: Whether they are true and false, as 1 and 0.
        is_quantity: Whether they can be no classes.
        example: A value and how it was read; None: nothing is worth saying.
    """

    values: NDArray[np.float64]
    is_truth: bool = False
    is_quantity: bool = False
    example: tuple[str, str] | None = None


def typed_values(name: str, series: Any, source: str) -> Typed | None:
    """Read a pandas column that has a type; None: it holds objects, texts or categories.

    Raises:
        DataError: If it holds complex numbers.
    """
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(series):
        return Typed(series.to_numpy(np.float64, na_value=np.nan), is_truth=True)
    if types.is_complex_dtype(series):
        raise DataError(f"The column {name!r} of {source} holds complex numbers.")
    if types.is_numeric_dtype(series):
        return Typed(series.to_numpy(np.float64, na_value=np.nan))
    if types.is_timedelta64_dtype(series):
        return Typed(series.dt.total_seconds().to_numpy(np.float64), is_quantity=True)
    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    return day_numbers(series) if types.is_datetime64_any_dtype(series) else None


def day_numbers(series: Any) -> Typed:
    """Return dates as days since 1970."""
    import pandas as pd

    series = pd.to_datetime(series, utc=True)
    days = (series - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    values = days.to_numpy(np.float64)
    there = np.flatnonzero(np.isfinite(values))
    example = None
    if len(there):
        first = int(there[0])
        example = (f"{series.iloc[first]:%Y-%m-%d}", f"{values[first]:g} days since 1970")
    return Typed(values, is_quantity=True, example=example)


def plain_texts(name: str, series: Any, source: str) -> Any:
    """Return a column of texts or objects as texts; a missing one is "".

    Raises:
        DataError: If a cell is none that a text says all about, such as a list.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.StringDtype):
        return series.fillna("")
    series = series.astype(object)
    is_plain = series.map(lambda v: isinstance(v, str | bytes | numbers.Number) or _is_scalar(v))
    if not is_plain.all():
        row = int(np.flatnonzero(~is_plain.to_numpy(dtype=bool))[0])
        kind = type(series.iloc[row]).__name__
        raise DataError(
            f"The column {name!r} of {source} holds a {kind} in row {row + 1}; a feature is a "
            f'number or a text: write its parts into columns, or leave it out by task.drop = ["'
            f'{name}"].'
        )
    decoded = series.map(lambda v: v.decode("latin-1") if isinstance(v, bytes) else v)
    return decoded.where(~pd.isna(decoded), "").map(str)


def _is_scalar(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value))

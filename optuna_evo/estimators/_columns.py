"""One column of a file: numbers with missing values, or texts with a code each.

A column that is nearly all numbers is numeric: the few other texts in it, such as "?" or "n.d.",
stand for missing values. Which texts did is kept, to be said.

Shape legend: n rows, u different texts.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Final
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import DataError
from optuna_evo.estimators._numbers import read_numbers
from optuna_evo.estimators._types import day_numbers
from optuna_evo.estimators._types import plain_texts
from optuna_evo.estimators._types import typed_values


__all__ = ["Column", "read_column"]

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
_MAX_RARE: Final = 0.1  # of the rows
_MAX_KINDS: Final = 3  # of other texts
_MAX_KINDS_SHARE: Final = 0.5  # of the rows
_DATE: Final = r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?"
# Single precision, in which trees compute, ends here.
_MAX_NUMBER: Final = float(np.finfo(np.float32).max)
_N_SAMPLE: Final = 1_000  # rows of a long column
_HARDLY: Final = 0.8  # of the sample are no numbers, more than a numeric column ever has


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
        mixed: What to say of texts many of which are numbers; empty: they are not.
    """

    name: str
    values: NDArray[np.float64]
    texts: Sequence[str] | None = None
    is_truth: bool = False
    is_quantity: bool = False
    missing: Mapping[str, int] = field(default_factory=dict)
    example: tuple[str, str] | None = None
    mixed: str = ""


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
    typed = typed_values(name, series, source)
    if typed is not None:
        values, is_truth, is_quantity, example = typed
        column = Column(name, values, None, is_truth, is_quantity, example=example)
    elif _is_category(series):
        column = _of_kinds(name, _texts(name, series, source))
    else:
        column = _of_texts(name, _texts(name, series, source), decimal_comma, is_target)
    if column.texts is None:
        _refuse_infinite(column, source)
    return column


def _is_category(series: Any) -> bool:
    import pandas as pd

    return isinstance(series.dtype, pd.CategoricalDtype)


def _texts(name: str, series: Any, source: str) -> _Texts:
    import pandas as pd

    series = plain_texts(name, series, source).astype("str").str.strip()
    codes, texts = pd.factorize(series.astype(object))
    return _Texts([str(text) for text in texts], np.asarray(codes, dtype=np.int64))


def _of_texts(name: str, found: _Texts, decimal_comma: bool, is_target: bool) -> Column:
    texts, counts = found.texts, found.counts()
    lower = [text.lower() for text in texts]
    is_marker = np.array([text in _MARKERS for text in lower], dtype=bool)
    rest = [text for text, marker in zip(texts, is_marker, strict=True) if not marker]
    if not rest or _hardly_has_numbers(found, is_marker):
        return _of_kinds(name, found)
    values = np.full(len(texts), np.nan)
    if all(text.lower() in _TRUTHS for text in rest):
        values[~is_marker] = [_TRUTHS[text.lower()] for text in rest]
        missing = _said(texts, counts, is_marker)
        return Column(name, found.spread(values), is_truth=True, missing=missing)
    if (dates := _read_dates(rest)) is not None:
        days = day_numbers(dates)
        values[~is_marker] = days.values
        missing = _said(texts, counts, is_marker)
        return Column(name, found.spread(values), None, False, True, missing, days.example)
    read = read_numbers(rest, decimal_comma=decimal_comma)
    values[~is_marker] = read.values
    is_number = ~np.isnan(values)
    if not _is_numeric(counts[is_number], counts[~is_number & ~is_marker], is_target):
        return _of_kinds(name, found, _mixed(texts, counts, is_number, is_marker))
    example = None
    if read.example is not None:
        example = (read.example, f"{read.values[rest.index(read.example)]:.12g}")
    missing = _said(texts, counts, ~is_number)
    # a code of classes is written without thousands and signs
    is_quantity = example is not None
    return Column(name, found.spread(values), None, False, is_quantity, missing, example)


def _mixed(texts: Sequence[str], counts: Any, is_number: Any, is_marker: Any) -> str:
    """Return what to say of a column with many numbers that measure, yet too many other texts."""
    n_numbers, others = int(counts[is_number].sum()), np.flatnonzero(~is_number & ~is_marker)
    n_rows = n_numbers + int(counts[others].sum())
    if is_number.sum() <= _MIN_NUMBERS or n_numbers < n_rows / 2:
        return ""
    return f"{n_numbers} of {n_rows} are numbers, but not such as {texts[others[0]]!r}"


def _of_kinds(name: str, found: _Texts, mixed: str = "") -> Column:
    """Return texts as codes in the order of the alphabet; numbers, all missing, if none is one."""
    kept = [place for place, text in enumerate(found.texts) if text.lower() not in _EMPTY]
    kept.sort(key=found.texts.__getitem__)
    codes = np.full(len(found.texts), np.nan)
    codes[kept] = np.arange(len(kept))
    texts = [found.texts[place] for place in kept]
    return Column(name, found.spread(codes), texts=texts or None, mixed=mixed)


def _hardly_has_numbers(found: _Texts, is_marker: NDArray[np.bool_]) -> bool:
    """Return whether a sample of the rows of a long column saves looking at all of its texts."""
    if len(found.texts) < 2 * _N_SAMPLE:
        return False
    codes = np.unique(found.codes[:: max(1, len(found.codes) // _N_SAMPLE)])
    sample = [found.texts[code] for code in codes.tolist() if not is_marker[code]]
    values = read_numbers(sample).values
    return bool(np.isnan(values).mean() > _HARDLY) and _read_dates(sample[:1]) is None


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
    if not texts or not series[:1].str.fullmatch(_DATE).all():  # spares most columns the rest
        return None
    if not series.str.fullmatch(_DATE).all():
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

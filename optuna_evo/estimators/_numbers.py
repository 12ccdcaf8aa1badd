"""Numbers as people write them: 1,234.50, 1 234,5, $1,200, (3), 12 %.

A comma or point followed by three digits may part thousands or be the decimal sign. The texts of a
whole column decide: "1,234.50" or "0.5" show a decimal point, "1.234,5" or "0,5" a decimal comma;
where nothing shows, the rest of the file does.
"""

from collections import Counter
from collections.abc import Sequence
import re
from typing import Final
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


__all__ = ["decimal_votes", "Numbers", "read_numbers"]

_CODES: Final = "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|kr|zł"
_UNIT: Final = rf"[A-Z]{{0,2}}[$€£¥₹₩₽₺₫฿]|{_CODES}|%"
_WRITTEN: Final = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-]?)\s*(?P<before>{_UNIT})?\s*(?P<inner>[+-]?)\s*"
    rf"(?P<body>[\d.,' ]*?(?:e[+-]?\d+)?)\s*(?P<after>{_UNIT})?\s*(?P<close>\))?",
    re.IGNORECASE,
)
# thousands stand in groups of three digits, behind a first one that is not 0; in India of two
_POINT: Final = re.compile(
    r"(\d+|[1-9]\d{0,2}(,\d{2,3})*,\d{3}|[1-9]\d{0,2}([ ']\d{3})+)?(\.\d*)?(e[+-]?\d+)?",
    re.IGNORECASE,
)
_COMMA: Final = re.compile(
    r"(\d+|[1-9]\d{0,2}(\.\d{3})+|[1-9]\d{0,2}([ ']\d{3})+)?(,\d*)?(e[+-]?\d+)?", re.IGNORECASE
)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d*,\d+")
_SAME: Final = {"EUR": "€", "USD": "$", "US$": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
_LOOKALIKES: Final = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2019": "'"}
)


class Numbers(NamedTuple):
    """What is read of texts.

    Args:
        values: Array of a number for each text; NaN where there is none.
        example: One of the texts that are worth saying how they were read; None: all are plain.
    """

    values: NDArray[np.float64]
    example: str | None


class _Written(NamedTuple):
    body: str
    is_negative: bool
    unit: str


def read_numbers(texts: Sequence[str], *, decimal_comma: bool = False) -> Numbers:
    """Read texts of one column, which all follow the same convention.

    Args:
        texts: Different texts, without blanks around them.
        decimal_comma: What the rest of the file shows, for texts that can be read both ways.

    Example:
        >>> read_numbers(["$1,200", "$950.5", "call"]).values
        array([1200. ,  950.5,    nan])
        >>> read_numbers(["1.234", "0,5"]).values
        array([1.234e+03, 5.000e-01])
    """
    import pandas as pd

    plain = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    plain = plain.to_numpy(dtype=np.float64)
    if decimal_comma and (values := _with_comma(texts)) is not None:
        return Numbers(values, None)
    odd = np.flatnonzero(np.isnan(plain))
    n_point, n_comma = decimal_votes([texts[i] for i in odd.tolist()])
    # plain numbers with a point are votes too, but need no reading where nothing contradicts
    if n_comma or decimal_comma:
        n_point, n_comma = decimal_votes(texts)
    is_comma = n_comma > n_point or (decimal_comma and n_comma == n_point)
    if not is_comma and not len(odd):
        return Numbers(plain, None)
    written = [_written(text) for text in texts]
    unit = _unit_of(written)
    values = np.array([_value(w, is_comma, unit) for w in written], dtype=np.float64)
    values[np.isinf(plain)] = plain[np.isinf(plain)]
    is_new = np.isfinite(values) & ~(values == plain)
    if n_comma:  # a decimal comma that can be nothing else needs no words
        is_new &= [_DECIMAL_COMMA.fullmatch(text) is None for text in texts]
    example = texts[int(is_new.argmax())] if is_new.any() else None
    return Numbers(values, example)


def decimal_votes(texts: Sequence[str]) -> tuple[int, int]:
    """Return how many texts are numbers with a decimal point only, and with a comma only."""
    bodies = [w.body for w in map(_written, texts) if w is not None]
    point = [bool(_POINT.fullmatch(body)) for body in bodies]
    comma = [bool(_COMMA.fullmatch(body)) for body in bodies]
    n_both = sum(p and c for p, c in zip(point, comma, strict=True))
    return sum(point) - n_both, sum(comma) - n_both


def _with_comma(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Return numbers at once if all are plain but for a comma that can be a decimal one only."""
    import pandas as pd

    if any("." in text for text in texts) or all(map(_POINT.fullmatch, texts)):
        return None
    series = pd.Series([text.replace(",", ".") for text in texts], dtype=object)
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
    return None if np.isnan(values).any() else values


def _written(text: str) -> _Written | None:
    """Take apart what may be a number; None: it is none."""
    found = _WRITTEN.fullmatch(text.translate(_LOOKALIKES))
    if found is None or not any(c.isdigit() for c in found["body"]):
        return None
    signs, units = found["sign"] + found["inner"], (found["before"], found["after"])
    is_bracketed = found["open"] is not None  # an accountant's minus
    if is_bracketed != (found["close"] is not None) or len(signs) + is_bracketed > 1 or all(units):
        return None
    unit = (units[0] or units[1] or "").upper()
    is_negative = is_bracketed or signs == "-"
    return _Written(found["body"].strip(), is_negative, _SAME.get(unit, unit))


def _unit_of(written: Sequence[_Written | None]) -> str:
    """Return the one unit of a column; numbers with another are not comparable, so not read."""
    counts = Counter(w.unit for w in written if w is not None)
    units = [unit for unit, _ in counts.most_common() if unit]
    # a few percentages among plain numbers are no common scale; money may lack its sign
    if not units or (units[0] == "%" and counts["%"] < counts[""]):
        return ""
    return units[0]


def _value(written: _Written | None, is_comma: bool, unit: str) -> float:
    if written is None or (written.unit != unit and (written.unit or unit == "%")):
        return np.nan
    if not (_COMMA if is_comma else _POINT).fullmatch(written.body):
        return np.nan
    whole, _, rest = written.body.partition("," if is_comma else ".")
    whole = re.sub("[.,' ]", "", whole)
    value = float(f"{whole}.{rest}" if rest else whole)
    return -value if written.is_negative else value

"""When a run started and ended, from whatever columns say so."""

from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
import math
import re
from typing import Final
from typing import NamedTuple
from typing import TypeVar

from optuna_evo.study._imports._files import Cell


__all__ = ["duration_of", "Span", "span_of", "time_of"]

_UNITS_S: Final = {"ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhd])")
_CLOCK: Final = re.compile(r"(?:(\d+) days?,? )?\+?(\d+):(\d{2}):(\d{2}(?:\.\d+)?)")
_LONGEST_S: Final = 100 * 365 * 86400.0
# Seconds and milliseconds since 1970 of the years that runs of a machine may have.
_FIRST_S, _LAST_S = 631152000.0, 4102444800.0  # 1990 and 2100
T = TypeVar("T")


class Span(NamedTuple):
    """Start and end of a run, naive local times as Optuna has them; None: not known.

    Where neither is known, `seconds` may be.
    """

    start: datetime | None
    end: datetime | None
    seconds: float | None

    def placed(self, now: datetime) -> tuple[datetime, datetime]:
        """Return start and end, which Optuna wants of every trial; what is not known is now."""
        if self.start is None and self.end is None:
            return now - timedelta(seconds=self.seconds or 0.0), now
        start = self.start or self.end or now
        return start, self.end or start


def span_of(
    row: Mapping[str, Cell], starts: list[str], ends: list[str], durations: list[str]
) -> Span:
    """Return when a run started and ended; what two of start, end and duration say of the third.

    Args:
        row: The run.
        starts: Columns that may say when it started, the best first.
        ends: Likewise when it ended.
        durations: Likewise how long it took.
    """
    start = _first(row, starts, time_of)
    end = _first(row, ends, time_of)
    seconds = _first(row, durations, duration_of)
    if start is not None and end is not None and end < start:
        end = None
    if seconds is not None:
        try:
            if start is not None and end is None:
                end = start + timedelta(seconds=seconds)
            elif start is None and end is not None:
                start = end - timedelta(seconds=seconds)
        except OverflowError:
            pass
    return Span(start, end, seconds)


def time_of(cell: Cell) -> datetime | None:
    """Return a time from ISO 8601 or seconds or milliseconds since 1970; None: it is none.

    Example:
        >>> time_of("2026-01-31 12:00:00")
        datetime.datetime(2026, 1, 31, 12, 0)
    """
    if isinstance(cell, bool):
        return None
    number = _number(cell)
    if number is not None:
        seconds = number if number < _LAST_S else number / 1000.0
        return datetime.fromtimestamp(seconds) if _FIRST_S <= seconds <= _LAST_S else None
    text = str(cell).strip().removesuffix(" UTC")
    text = f"{text}+00:00" if text != str(cell).strip() else text
    try:
        found = datetime.fromisoformat(text)
        local = found.astimezone().replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError, OSError):
        return None
    return local if 1990 <= local.year <= 2100 else None


def duration_of(cell: Cell) -> float | None:
    """Return seconds from a number, "1h 2m 3s", "1.5min" or "0 days 00:01:02"; None: it is none.

    Example:
        >>> duration_of("1m 30s"), duration_of("0 days 00:01:02.5"), duration_of(7)
        (90.0, 62.5, 7.0)
    """
    if isinstance(cell, bool):
        return None
    seconds = _number(cell)
    if seconds is None:
        text = str(cell).strip().lower()
        clock = _CLOCK.fullmatch(text)
        if clock is not None:
            days, hours, minutes, rest = (float(part or 0) for part in clock.groups())
            seconds = 86400 * days + 3600 * hours + 60 * minutes + rest
        elif _PART.search(text) and not _PART.sub("", text).strip():
            seconds = sum(float(n) * _UNITS_S[unit] for n, unit in _PART.findall(text))
    return seconds if seconds is not None and 0 <= seconds <= _LONGEST_S else None


def _first(
    row: Mapping[str, Cell], columns: list[str], read: Callable[[Cell], T | None]
) -> T | None:
    """Return what the first of the columns says that says anything."""
    found = (read(row[column]) for column in columns if column in row)
    return next((value for value in found if value is not None), None)


def _number(cell: Cell) -> float | None:
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None

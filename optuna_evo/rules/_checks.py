"""Values of a genome, checked one by one; messages of bounded length."""

from collections.abc import Sequence
import math
import sys
from typing import Final


__all__ = ["check_range", "cut", "is_list", "power_of_ten"]

_LARGEST: Final = sys.float_info.max
_MOST_SHOWN: Final = 200  # characters of a wrong value in a message


def check_range(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Raise for values outside (above, below) and [at_least, below), NaN and infinity included."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"`{name}` must be a number, got {cut(value)}.")
    # a whole number beyond the largest float is smaller than infinity to Python
    is_float = abs(value) <= _LARGEST
    if not (is_float and above < value < below and value >= at_least):
        low = f"> {above:g}" if above > -math.inf else f">= {at_least:g}"
        high = f" and < {below:g}" if below < math.inf else ""
        raise ValueError(f"`{name}` must be {low}{high} and finite, got {cut(value)}.")


def power_of_ten(name: str, exponent: object) -> float:
    """Return 10 ** exponent, or raise a ValueError."""
    if not isinstance(exponent, int | float) or isinstance(exponent, bool):
        raise ValueError(f"`{name}` must be a number, got {cut(exponent)}.")
    try:
        return float(10.0**exponent)
    except OverflowError as error:
        raise ValueError(f"`{name}` must be below 308, got {cut(exponent)}.") from error


def is_list(value: object) -> bool:
    """Tell whether a value is a sequence and no text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def cut(value: object) -> str:
    """Return the value for a message, on one line of bounded length."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; more digits than Python writes
        return f"a {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"

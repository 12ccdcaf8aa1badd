"""The range of a parameter: inferred from the values that runs had, or given by a space.

A column that is all numbers is a range of floats or whole numbers. Its scale is logarithmic where
its values, all positive, span nearly an order of magnitude or more and lie more evenly on that
scale: 1e-4, 1e-3, 1e-2 do, uniform draws from 1 to 100 do not. Everything else is a category.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any
from typing import Final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.study._imports._files import Cell


__all__ = ["fit_range", "infer_range", "number_of", "Parameter", "range_words"]

# Texts that stand for no value among numbers; MLflow's parameters are texts, and None is "None".
_MISSING: Final = frozenset(["", "none", "nan", "null", "n/a", "na", "-", "undefined"])
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_LOG_SPAN: Final = 8.0  # 16, 32, 64, 128 is a logarithmic grid
_CLEARLY_LOG: Final = 100.0  # of two values, which say nothing about a scale
_MOST_CHOICES: Final = 100
_MOST_SHARE: Final = 0.5  # different texts by rows; more, and they name the runs
_FEW_CHOICES: Final = 10
_LARGEST: Final = 2**53  # floats count exactly so far
_LONGEST_CHOICE: Final = 200
_SHOWN: Final = 6


@dataclass(frozen=True)
class Parameter:
    """A column as a parameter.

    Args:
        values: What the runs had, by row; rows without it are not there.
        range: Where these values lie; None: it is left out.
        why: Why it is left out, or what was done to make it fit; may be empty.
    """

    values: Mapping[int, Any]
    range: BaseDistribution | None
    why: str = ""


def infer_range(cells: Mapping[int, Cell], n_rows: int, *, named: bool) -> Parameter:
    """Infer the range of a parameter.

    Args:
        cells: What a column holds, by row, where it holds anything.
        n_rows: How many runs there are.
        named: Whether the user named the column; then it may have many texts.
    """
    numbers = {i: x for i, cell in cells.items() if (x := number_of(cell)) is not None}
    others = {i: cell for i, cell in cells.items() if i not in numbers and not _is_missing(cell)}
    if numbers and all(map(_is_infinite, others.values())):
        return _of_numbers(numbers, len(others))
    truths = {i: t for i, cell in others.items() if (t := _truth(cell)) is not None}
    if others and len(truths) == len(others) and not numbers:
        return _of_choices(truths, n_rows, named=named)
    texts = {i: _text(cell) for i, cell in cells.items() if i in numbers or i in others}
    if not texts:
        return Parameter({}, None, "it is empty")
    return _of_choices(texts, n_rows, named=named)


def fit_range(cells: Mapping[int, Cell], given: BaseDistribution) -> Parameter:
    """Fit what a column holds into a range that is given, which becomes as wide as it must.

    Args:
        cells: What a column holds, by row, where it holds anything.
        given: The range of the space.
    """
    if isinstance(given, CategoricalDistribution):
        return _among(cells, given)
    assert isinstance(given, FloatDistribution | IntDistribution)
    numbers = {i: number_of(cell) for i, cell in cells.items()}
    whole = isinstance(given, IntDistribution)
    least = 0.0 if isinstance(given, FloatDistribution) else 0.5
    values: dict[int, Any] = {
        i: int(x) if whole else x
        for i, x in numbers.items()
        if x is not None and (not whole or x == int(x)) and (not given.log or x > least)
    }
    n_unfit = sum(i not in values and not _is_missing(cell) for i, cell in cells.items())
    words = [f"{n_unfit} values mean nothing in that range"] if n_unfit else []
    # the ends of a range are numbers, also of one that all values leave
    low = min([given.low, *values.values()])
    high = max([given.high, *values.values()])
    step = None if given.log or given.step is None else given.step
    is_wider = (low, high) != (given.low, given.high)
    if is_wider or not all(_is_step(v - given.low, step) for v in values.values()):
        n_outside = sum(not given.low <= v <= given.high for v in values.values())
        words.append(
            f"{n_outside} values lie outside [{given.low:g}, {given.high:g}], so it is wider here"
            if is_wider
            else "its steps do not hold here"
        )
        step = 1 if whole else None
    fitted: BaseDistribution
    if whole:
        fitted = IntDistribution(int(low), int(high), log=given.log, step=int(step or 1))
    else:
        fitted = FloatDistribution(float(low), float(high), log=given.log, step=step)
    return Parameter(values, fitted, "; ".join(words))


def range_words(found: BaseDistribution) -> str:
    """Say a range.

    Example:
        >>> range_words(FloatDistribution(1e-5, 0.1, log=True))
        '1e-05 to 0.1, log scale'
    """
    if isinstance(found, CategoricalDistribution):
        shown = ", ".join(f"{choice!r:.40}" for choice in found.choices[:_SHOWN])
        n_more = len(found.choices) - _SHOWN
        return f"{shown}, and {n_more} more" if n_more > 0 else shown
    assert isinstance(found, FloatDistribution | IntDistribution)
    kind = "whole numbers " if isinstance(found, IntDistribution) else ""
    return f"{kind}{found.low:.6g} to {found.high:.6g}{', log scale' if found.log else ''}"


def number_of(cell: Cell) -> float | None:
    """Return a finite number; None: it is none. Truths are none."""
    if isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _of_numbers(numbers: Mapping[int, float], n_infinite: int) -> Parameter:
    distinct = sorted(set(numbers.values()))
    low, high = distinct[0], distinct[-1]
    if low == high:
        return Parameter({}, None, f"it is {low:g} in all runs that have it")
    is_whole = all(x == int(x) for x in distinct)
    if is_whole and max(abs(low), abs(high)) > _LARGEST:
        return Parameter({}, None, f"{max(low, high, key=abs):.0f} is no number that is measured")
    if not math.isfinite(high - low):
        return Parameter({}, None, f"{low:g} to {high:g} is too wide")
    log = _is_log(distinct)
    why = f"{n_infinite} infinite values are left out" if n_infinite else ""
    if is_whole:
        values = {i: int(x) for i, x in numbers.items()}
        return Parameter(values, IntDistribution(int(low), int(high), log=log), why)
    return Parameter(numbers, FloatDistribution(low, high, log=log), why)


def _is_log(distinct: Sequence[float]) -> bool:
    low, high = distinct[0], distinct[-1]
    if low <= 0.0 or high / low < _LOG_SPAN:
        return False
    places = np.array(distinct)
    linear = float(np.median((places - low) / (high - low)))
    logarithmic = float(np.median(np.log(places / low) / math.log(high / low)))
    by_scale, by_log = abs(linear - 0.5), abs(logarithmic - 0.5)
    # of two values both medians are the middle
    return by_log < by_scale - 1e-9 or (len(distinct) == 2 and high / low >= _CLEARLY_LOG)


def _of_choices(values: Mapping[int, bool | str], n_rows: int, *, named: bool) -> Parameter:
    choices = sorted(set(values.values()), key=lambda choice: (str(type(choice)), choice))
    if len(choices) == 1:
        return Parameter({}, None, f"it is {choices[0]!r:.60} in all runs that have it")
    are_many = len(choices) > max(_FEW_CHOICES, _MOST_SHARE * n_rows)
    if not named and (are_many or len(choices) > _MOST_CHOICES):
        return Parameter({}, None, f"it holds {len(choices)} different texts")
    return Parameter(values, CategoricalDistribution(choices))


def _among(cells: Mapping[int, Cell], given: CategoricalDistribution) -> Parameter:
    values: dict[int, Any] = {}
    new: list[Any] = []
    for i, cell in cells.items():
        choices = [*given.choices, *new]
        found = next((c for c in choices if _same(c, cell)), cell)
        if found is cell and not any(_same(c, cell) for c in choices):
            if _is_missing(cell):
                continue
            found = _text(cell) if isinstance(cell, str) else cell
            new.append(found)
        values[i] = found
    if not new:
        return Parameter(values, given)
    shown = ", ".join(f"{choice!r:.40}" for choice in new[:_SHOWN])
    return Parameter(
        values,
        CategoricalDistribution([*given.choices, *new]),
        f"the space has no {shown}, so it has {len(new)} more choices here",
    )


def _same(choice: Any, cell: Cell) -> bool:
    """Tell whether a choice is meant: files have texts for truths, numbers and None."""
    if isinstance(choice, bool) or isinstance(cell, bool):
        return (choice if isinstance(choice, bool) else None) == _truth(cell)
    if isinstance(choice, int | float):
        return number_of(cell) == choice
    return str(choice) == str(cell)


def _truth(cell: Cell) -> bool | None:
    return cell if isinstance(cell, bool) else _TRUTHS.get(str(cell).lower())


def _is_step(distance: float, step: float | None) -> bool:
    return step is None or abs(distance / step - round(distance / step)) < 1e-8


def _is_infinite(cell: Cell) -> bool:
    try:
        return math.isinf(float(cell))
    except (ValueError, OverflowError):
        return False


def _is_missing(cell: Cell) -> bool:
    return not isinstance(cell, bool) and str(cell).strip().lower() in _MISSING


def _text(cell: Cell) -> str:
    text = f"{cell:g}" if isinstance(cell, float) else str(cell)
    return text[:_LONGEST_CHOICE]

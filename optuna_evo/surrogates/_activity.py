"""Which parameters of a conditional space are there, learned from the configurations seen so far.

A define-by-run space does not say that `momentum` exists only when `optimizer` is "sgd". Here each
parameter that some configurations lack is explained by the one category or small grid that
foretells its presence best; for a value that was never seen it is taken to be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


Array = NDArray[np.float64]
MAX_PARENT_LEVELS = 32


@dataclass(frozen=True)
class ActivityCondition:
    """Parameter `child` is missing where `parent` has one of `absent` (NaN: parent missing)."""

    child: int
    parent: int
    absent: tuple[float, ...]


def learn_rules(units: Array) -> tuple[ActivityCondition, ...]:
    """Find a rule for each parameter that some rows of units (n, d) lack, parents first."""
    present = ~np.isnan(units)
    optional = [j for j in range(units.shape[1]) if 0 < present[:, j].sum() < len(units)]
    # A parameter is never rarer than its children, so parents come first in this order.
    optional.sort(key=lambda j: (-int(present[:, j].sum()), j))
    always = [j for j in range(units.shape[1]) if present[:, j].all()]
    rules: list[ActivityCondition] = []
    for k, child in enumerate(optional):
        found = [_rule(units, child, p) for p in [*always, *optional[:k]]]
        if scored := [f for f in found if f is not None]:
            rules.append(min(scored, key=lambda s: (*s[:2], s[2].parent))[2])
    return tuple(rules)


def deactivate(units: Array, rules: Sequence[ActivityCondition]) -> Array:
    """Return rows of units (m, d) with NaN where a rule says that the parameter is missing."""
    masked = units.copy()
    for rule in rules:
        masked[_matches(masked[:, rule.parent], rule.absent), rule.child] = np.nan
    return masked


def n_active(units: Array) -> Array:
    """Return how many parameters a row (n, d) has that has this one, on average, (d,)."""
    there = ~np.isnan(units)
    count, total = there.sum(axis=0), there.T.astype(np.float64) @ there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), float(there.shape[1]))


def _rule(units: Array, child: int, parent: int) -> tuple[int, int, ActivityCondition] | None:
    """Return how many rows the best rule with this parent gets wrong, its levels, and the rule.

    Of rules that are equally right the one of fewer levels is meant: a number that was never the
    same twice foretells everything that was seen, and nothing else.
    """
    values = units[:, parent]
    levels = np.unique(values)
    if len(levels) > MAX_PARENT_LEVELS or len(levels) < 2:
        return None
    present = ~np.isnan(units[:, child])
    errors, absent = 0, []
    for level in levels:
        there = present[_matches(values, (float(level),))]
        errors += int(min(there.sum(), (~there).sum()))
        if 2 * there.sum() < len(there):
            absent.append(float(level))
    if not absent:
        return None
    return errors, len(levels), ActivityCondition(child, parent, tuple(absent))


def _matches(values: Array, wanted: Sequence[float]) -> NDArray[np.bool_]:
    """Compare with a tolerance for grid arithmetic; NaN equals NaN."""
    hit = np.zeros(len(values), dtype=bool)
    for value in wanted:
        hit |= np.isnan(values) if np.isnan(value) else np.abs(values - value) < 1e-6
    return hit

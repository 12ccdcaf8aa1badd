"""Two optimizers on the same tasks with the same seeds: difference, interval, p-value.

A cell is one training: a task and a seed. Cells are not independent of each other, so means over
them are taken first and what is left is independent: over tasks for each seed, when the claim is
about these tasks, or over seeds for each task, when it is about tasks like these.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optuna_evo.evaluation._interval import Interval


__all__ = ["Alternative", "Cells", "holm", "Paired", "paired", "sign_flip", "Unit", "units_of"]

Cells = Mapping[tuple[str, int], float]
"""What was measured, by task and seed."""

Unit = Literal["seed", "task"]
Alternative = Literal["two-sided", "less", "greater"]

_MOST_EXACT = 16  # values whose 2^n signs are all tried: 65,536
_MONTE_CARLO = 20_000


@dataclass(frozen=True)
class Paired:
    """A paired comparison.

    Args:
        difference: Mean of ours minus theirs, with its bootstrap interval.
        p_value: Of no difference, two-sided, by sign flips; 1.0 for a single unit.
        by_unit: The differences that the interval is over.
        unit: What they are of: "seed" or "task".
    """

    difference: Interval
    p_value: float
    by_unit: tuple[float, ...]
    unit: Unit


def paired(ours: Cells, theirs: Cells, *, unit: Unit = "seed", seed: int = 0) -> Paired:
    """Compare two optimizers on the same cells.

    Args:
        ours: Measurements, finite, by (task, seed).
        theirs: Those of the other one, of the same cells.
        unit: "seed": a mean over tasks for each seed, and an interval for these tasks. "task": a
            mean over seeds for each task, and an interval for tasks like these, which is wider.
        seed: Of the resampling.

    Raises:
        ValueError: If the cells differ, one is missing, or a value is not finite.

    Example:
        >>> ours = {("digits", seed): 0.30 - 0.01 * seed for seed in range(3)}
        >>> theirs = {cell: loss + 0.1 for cell, loss in ours.items()}
        >>> round(paired(ours, theirs).difference.mean, 3)
        -0.1
    """
    if ours.keys() != theirs.keys():
        raise ValueError(
            "Paired values must be of the same tasks and seeds; only one side has "
            f"{sorted(ours.keys() ^ theirs.keys())[:3]}."
        )
    differences = units_of({cell: ours[cell] - theirs[cell] for cell in ours}, unit)
    interval = Interval.bootstrap(differences, seed=seed)
    return Paired(interval, sign_flip(differences, seed=seed), tuple(differences), unit)


def units_of(cells: Cells, unit: Unit) -> list[float]:
    """Return the mean of each seed over all tasks, or of each task over all seeds.

    Raises:
        ValueError: If there is no cell, or not one of each task with each seed.
    """
    tasks = sorted({task for task, _ in cells})
    seeds = sorted({seed for _, seed in cells})
    missing = [cell for cell in itertools.product(tasks, seeds) if cell not in cells]
    if missing or not cells:
        raise ValueError(f"Every task needs a value for every seed; missing: {missing[:3]}.")
    table = np.array([[cells[task, seed] for seed in seeds] for task in tasks])
    return [float(mean) for mean in table.mean(axis=0 if unit == "seed" else 1)]


def sign_flip(
    differences: Sequence[float], *, alternative: Alternative = "two-sided", seed: int = 0
) -> float:
    """Return the p-value of a mean of 0: the share of sign patterns with a mean as far from it.

    Exact for up to 16 values: all patterns are tried; for more, 20,000 random ones. It supposes
    that without a difference either sign is as likely, as it is for two equal optimizers.

    Args:
        differences: Finite, independent.
        alternative: What else the mean might be: not 0, "less" or "greater" than it.
        seed: Of the random patterns.
    """
    values = np.asarray(differences, dtype=float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"A test needs finite differences, got {list(differences)!r}.")
    exact = len(values) <= _MOST_EXACT
    sums = _all_signs(len(values)) @ values if exact else _random_sums(values, seed)
    observed = float(values.sum())
    if alternative == "less":
        sums, observed = -sums, -observed
    elif alternative == "two-sided":
        sums, observed = np.abs(sums), abs(observed)
    # sums of the same numbers in another order differ by rounding
    as_far = int(np.count_nonzero(sums >= observed - 1e-12 * float(np.abs(values).sum())))
    # the pattern that was observed is one of them: without it a p-value of 0 were possible
    return as_far / len(sums) if exact else (as_far + 1) / (len(sums) + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method, in the same order.

    All that are at most alpha may be called significant, with an error in any of them in at most
    a share alpha of such tables, however the tests depend on each other (Holm, 1979).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _all_signs(n: int) -> NDArray[np.float64]:
    patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return np.asarray(2.0 * patterns - 1.0)


def _random_sums(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, len(values)])
    signs = rng.integers(0, 2, size=(_MONTE_CARLO, len(values)), dtype=np.int8)
    return np.asarray((2.0 * signs - 1.0) @ values)

"""Candidate configurations among which a posterior draw is maximised.

Small spaces are enumerated. Else a part is drawn from the whole space, and the rest around the
best observations: local steps of many sizes that change few parameters, and crossings of two good
ones. Everything is in the units of `SpaceEncoding`, (n, d).
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]

MAX_GRID = 600  # joint draws over more candidates than this cost more than they gain
N_PARENTS = 10
PARENT_DECAY = 0.35  # of the geometric distribution over ranks: the best is taken in 35 % of cases
STEP_SIZES = (0.01, 0.5)  # of a unit, log-uniform
CHANGED = (1.0, 2.0, 4.0)  # expected numbers of parameters that a local step changes
N_SMALL = 1.5  # the same of a small step, without the one that always changes


@dataclass(frozen=True)
class Counts:
    """How many candidates of each kind are drawn."""

    everywhere: int
    local: int
    crossed: int

    @classmethod
    def of(cls, n: int) -> "Counts":
        """Share n candidates among the kinds, 4 : 4 : 1."""
        return cls(4 * n // 9, 4 * n // 9, max(n // 9, 1))

    @property
    def near(self) -> "Counts":
        """The same number, all of them around good configurations."""
        return Counts(0, self.local + self.everywhere, self.crossed)


def make_candidates(
    encoding: SpaceEncoding, ranked: Array, counts: Counts, rng: np.random.Generator
) -> Array:
    """Return candidates with all parameters present, (m, d).

    Args:
        encoding:
            The space.
        ranked:
            Observations as units, the best first; NaN where a parameter is missing.
        counts:
            How many of each kind.
        rng:
            Source of randomness.
    """
    if encoding.n_configurations <= MAX_GRID:
        return encoding.grid()
    everywhere = encoding.uniform(counts.everywhere, rng)
    if len(ranked) == 0:
        return everywhere
    parents = ranked[:N_PARENTS]
    parts = [
        everywhere,
        local_steps(encoding, parents, counts.local, rng),
        _crossings(encoding, parents, counts.crossed, rng),
    ]
    return np.concatenate(parts)


def local_steps(
    encoding: SpaceEncoding, parents: Array, n: int, rng: np.random.Generator
) -> Array:
    """Change a few parameters of good configurations, by steps of many sizes."""
    d = parents.shape[1]
    fresh = encoding.uniform(n, rng)
    ranks = np.minimum(rng.geometric(PARENT_DECAY, n) - 1, len(parents) - 1)
    start = np.where(np.isnan(parents[ranks]), fresh, parents[ranks])
    changed = rng.random((n, d)) < rng.choice(CHANGED, size=(n, 1)) / d
    changed[np.arange(n), rng.integers(d, size=n)] = True
    size = np.exp(rng.uniform(math.log(STEP_SIZES[0]), math.log(STEP_SIZES[1]), n))
    return _step(encoding, start, fresh, changed, size, rng)


def small_steps(
    encoding: SpaceEncoding, parents: Array, n: int, size: float, rng: np.random.Generator
) -> Array:
    """Change one or two parameters of configurations, equally often of each, by about `size`."""
    d = parents.shape[1]
    fresh = encoding.uniform(n, rng)
    start = parents[rng.integers(len(parents), size=n)]
    start = np.where(np.isnan(start), fresh, start)
    changed = rng.random((n, d)) < N_SMALL / d
    changed[np.arange(n), rng.integers(d, size=n)] = True
    return _step(encoding, start, fresh, changed, np.full(n, size), rng)


def _step(
    encoding: SpaceEncoding,
    start: Array,
    fresh: Array,
    changed: NDArray[np.bool_],
    size: Array,
    rng: np.random.Generator,
) -> Array:
    """Move what changes: a number by a normal step, a category to its value in `fresh`."""
    n = len(start)
    moved = fresh.copy()
    for j, axis in enumerate(encoding.axes):
        if not axis.is_category:
            # A step below the width of a grid would go nowhere.
            width = 0.0 if axis.n_levels is None else 1.0 / max(axis.n_levels - 1, 1)
            shift = np.maximum(size, width) * rng.standard_normal(n)
            moved[:, j] = reflect(start[:, j] + shift)
    return encoding.snap(np.where(changed, moved, start))


def _crossings(encoding: SpaceEncoding, parents: Array, n: int, rng: np.random.Generator) -> Array:
    """Take each parameter from one of two good configurations."""
    mother, father = (parents[rng.integers(len(parents), size=n)] for _ in range(2))
    child = np.where(rng.random(mother.shape) < 0.5, mother, father)
    return encoding.snap(np.where(np.isnan(child), encoding.uniform(n, rng), child))


def reflect(units: Array) -> Array:
    """Fold values back into [0, 1] at its ends."""
    folded = np.abs(units) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)


def unseen(candidates: Array, known: Array) -> NDArray[np.intp]:
    """Return the indices of candidates that are neither known nor double; of all if none is.

    Equal means equal in every parameter that is there (NaN equals NaN).
    """
    taken = set(_keys(known))
    fresh: list[int] = []
    for i, key in enumerate(_keys(candidates)):
        if key not in taken:
            taken.add(key)
            fresh.append(i)
    return np.array(fresh or range(len(candidates)), dtype=np.intp)


def apart(
    candidates: Array, known: Array, distance: float, is_category: Sequence[bool]
) -> NDArray[np.intp]:
    """Return the indices of candidates that are beside no known configuration; all if none is.

    Beside it is what has the same parameters and categories, and every number nearer than
    `distance`, in units.
    """
    beside = np.ones((len(candidates), len(known)), dtype=bool)
    for j, category in enumerate(is_category):
        a, b = candidates[:, j, None], known[None, :, j]
        near = np.abs(a - b) < (0.5 if category else distance)
        beside &= near | (np.isnan(a) & np.isnan(b))
    off = np.flatnonzero(~beside.any(axis=1))
    return off if len(off) else np.arange(len(candidates), dtype=np.intp)


def _keys(units: Array) -> list[bytes]:
    # Adding zero makes -0.0 and 0.0 the same bytes.
    return [row.tobytes() for row in np.nan_to_num(np.round(units, 9), nan=-9.0) + 0.0]

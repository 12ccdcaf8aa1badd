"""Feature columns of a category: one for each choice, or a short code where there are many.

One-hot columns divided by sqrt(2) put any two choices at distance 1. Their cost grows with the
number of choices. Beyond `MAX_ONE_HOT` each choice has 64 signs instead, a hash of its index: two
choices are then at a squared distance of 1 within an eighth or so (Johnson and Lindenstrauss 1984:
the product of two random codes has standard deviation 1 / sqrt(64)), at a cost that does not grow.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray


__all__ = ["category_columns", "n_category_columns"]

MAX_ONE_HOT: Final = 64
CODE_LENGTH: Final = 64  # bits of a hash
HALF_CHOICE: Final = math.sqrt(0.5)


def n_category_columns(n_choices: int) -> int:
    """Return the number of feature columns of a category."""
    return n_choices if n_choices <= MAX_ONE_HOT else CODE_LENGTH


def category_columns(indices: NDArray[np.float64], n_choices: int) -> NDArray[np.float64]:
    """Return the columns of choices, (n, c); zeros where an index is NaN."""
    if n_choices <= MAX_ONE_HOT:
        return np.asarray(HALF_CHOICE * (indices[:, None] == np.arange(n_choices)))
    present = ~np.isnan(indices)
    hashed = _hash(np.where(present, indices, 0.0).astype(np.uint64))
    bits = (hashed[:, None] >> np.arange(CODE_LENGTH, dtype=np.uint64)) & np.uint64(1)
    signs = 2.0 * bits.astype(np.float64) - 1.0
    return np.where(present[:, None], HALF_CHOICE / math.sqrt(CODE_LENGTH) * signs, 0.0)


def _hash(indices: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each index: SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (indices + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))

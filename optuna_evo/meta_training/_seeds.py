"""Which tasks are for what: seeds of meta-training, choosing, tuning and tests never meet."""

from collections.abc import Sequence
from typing import Final
from typing import Literal

import numpy as np


__all__ = ["derived", "Purpose", "task_seeds", "training_seed"]

Purpose = Literal["train", "valid", "tune", "test"]

_SPAN: Final = 10**9  # seeds of a purpose
_ORDER: Final = ("train", "valid", "tune", "test")


def task_seeds(purpose: Purpose, n: int, *, first: int = 0) -> Sequence[int]:
    """Return the seeds of n tasks.

    Args:
        purpose: "train": meta-training. "valid": choosing among its states. "tune": tuning of
            classic optimizers. "test": figures.
        n: How many.
        first: Number of the first.

    Example:
        >>> set(task_seeds("tune", 64)) & set(task_seeds("test", 64))
        set()
    """
    start = _ORDER.index(purpose) * _SPAN + first
    return range(start, start + n)


def training_seed(*words: int) -> int:
    """Return the seed of a task of meta-training, a function of these numbers."""
    return derived(*words) % _SPAN


def derived(*words: int) -> int:
    """Return a number of 63 bits that is a function of these."""
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))

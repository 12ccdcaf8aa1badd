"""A random stream for each trial, from nothing that is kept in memory.

Equal seeds give equal streams in any process, and no two trials of a study share one.
"""

import secrets
import zlib

import numpy as np
from numpy.random import Generator
from numpy.random import SeedSequence


def entropy(seed: int | None) -> int:
    """Return the seed; a fresh one for None.

    Raises:
        ValueError: If the seed is negative.
    """
    if seed is None:
        return secrets.randbits(64)
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, but got {seed=}. None draws a new one.")
    return seed


def stream(seed: int, study_name: str, trial_number: int, purpose: str) -> Generator:
    """Return the stream of one trial for one purpose."""
    key = (seed, zlib.crc32(study_name.encode()), trial_number, zlib.crc32(purpose.encode()))
    return np.random.default_rng(SeedSequence(key))

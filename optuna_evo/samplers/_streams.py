"""A random stream for each trial, from nothing that is kept in memory.

Equal seeds give equal streams in any process, and no two trials of a study share one, but for a
trial and its retries: those are one trial, and the streams of later ones do not shift by them.
"""

import secrets
from typing import Final
import zlib

import numpy as np
from numpy.random import Generator
from numpy.random import SeedSequence
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_evo.samplers._retries import is_copy
from optuna_evo.samplers._retries import place_of


_UNNAMED_PREFIX: Final = "no-name-"  # Optuna's, followed by a random UUID


def hash_name(study_name: str) -> int:
    """Return what a study's name adds to the key of its streams.

    Studies of different names differ at equal seeds. A name that Optuna made up counts as empty:
    it is random, and a seeded sampler must give the same trials in every unnamed study.
    """
    unnamed = study_name.startswith(_UNNAMED_PREFIX)
    return zlib.crc32(b"" if unnamed else study_name.encode())


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


def stream(seed: int, study: Study, trial: FrozenTrial, purpose: str) -> Generator:
    """Return the stream of one trial for one purpose."""
    purpose_hash = zlib.crc32(purpose.encode())
    key = (seed, hash_name(study.study_name), place(study, trial), purpose_hash)
    return np.random.default_rng(SeedSequence(key))


def place(study: Study, trial: FrozenTrial) -> int:
    """Return the number that the trial would have if no trial had ever been retried."""
    first = place_of(trial)
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    return first - sum(map(is_copy, trials[:first]))

"""Which seed a repetition of a trial trains with."""

__all__ = ["seed_of"]

# More than a study trains each trial with, so that no two repetitions share a seed.
_SEEDS_PER_REPETITION = 1000


def seed_of(seed: int, repetition: int) -> int:
    """Return the first seed of a repetition; that of repetition 0 is the objective's own."""
    return seed + repetition * _SEEDS_PER_REPETITION

"""Seeds of the global generators that a user's function may draw from."""

from collections.abc import Iterator
import contextlib
import random
import sys

import numpy as np


__all__ = ["global_generators_seeded"]


@contextlib.contextmanager
def global_generators_seeded(seed: np.random.SeedSequence) -> Iterator[None]:
    """Seed the generators of `random`, numpy and, where it is loaded, torch; put them back after.

    Our own code draws from none of them. A function that was written for `study.optimize` often
    does, by an estimator without `random_state` or a network's first weights.
    """
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state()
    torch_before = torch.get_rng_state() if torch is not None else None
    numbers = [int(number) for number in seed.generate_state(3)]
    random.seed(numbers[0])
    np.random.seed(numbers[1])
    if torch is not None:
        torch.manual_seed(numbers[2])
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch is not None:
            torch.set_rng_state(torch_before)

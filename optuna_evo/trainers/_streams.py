"""Everything random in a training, as a function of (seed, task, step).

Nothing has a state that moves, so training in two pieces, or going on from a checkpoint, does what
training in one piece does. Members of one seed share all streams (common random numbers).
"""

from dataclasses import dataclass
import functools
import zlib

import numpy as np
import torch
from torch import Tensor


__all__ = ["rows_from", "Streams"]

_WEIGHTS, _ORDER, _STEPS, _AUGMENTATION = range(4)


@dataclass(frozen=True)
class Streams:
    """Seeds for torch generators.

    Args:
        weights: For the initial weights.
        order: For the order of the rows.
        steps: One for each step, for dropout.
        augmentation: One for each step.
    """

    weights: int
    order: int
    steps: tuple[int, ...]
    augmentation: tuple[int, ...]

    @classmethod
    def of(cls, seed: int, task_name: str, n_steps: int) -> "Streams":
        """Return the streams of a run; more steps only add to them."""

        def draw(purpose: int, n: int) -> tuple[int, ...]:
            sequence = np.random.SeedSequence([seed, zlib.crc32(task_name.encode()), purpose])
            return tuple(sequence.generate_state(n).tolist())

        return cls(
            weights=draw(_WEIGHTS, 1)[0],
            order=draw(_ORDER, 1)[0],
            steps=draw(_STEPS, n_steps),
            augmentation=draw(_AUGMENTATION, n_steps),
        )


def rows_from(position: int, n: int, *, n_rows: int, seed: int, device: torch.device) -> Tensor:
    """Return the next `n` row numbers after `position` rows were taken, on `device`.

    The rows are shuffled anew each epoch and the epochs follow each other without a gap, so every
    batch is full and every row is seen equally often, whatever the batch size.
    """
    epoch, start = divmod(position, n_rows)
    rows = _shuffled(n_rows, seed, epoch, device)[start : start + n]
    while len(rows) < n:
        epoch += 1
        rows = torch.cat([rows, _shuffled(n_rows, seed, epoch, device)[: n - len(rows)]])
    return rows


@functools.lru_cache(maxsize=16)
def _shuffled(n_rows: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    # Drawn on the CPU, so that all devices see one order.
    epoch_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(epoch_seed)).to(device)

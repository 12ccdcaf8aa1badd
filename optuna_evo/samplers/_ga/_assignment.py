"""The slot of a trial in the population, and the random stream that belongs to the slot.

An assignment is one trial system attribute, and all that it takes to draw the child: its numbers
come from (seed, study, generation, slot, attempt) and the parents, never from a sampler's memory.
"""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any
from typing import Self
import zlib

import numpy as np
from numpy.random import Generator
from numpy.random import SeedSequence
from optuna.trial import FrozenTrial

from optuna_evo.attributes import GA_ASSIGNMENT
from optuna_evo.samplers._ga._ways import ANNEALED
from optuna_evo.samplers._slots import SlotKey
from optuna_evo.samplers._streams import hash_name


__all__ = ["read_assignment", "SlotAssignment"]

# Set apart the streams of one assignment.
_SELECTION, _VARIATION, _INDEPENDENT = range(3)


@dataclass(frozen=True, kw_only=True)
class SlotAssignment:
    """Which slot a trial has, and what its child is made of.

    Args:
        generation: Counted from 0.
        slot: Slot of the generation, counted from 0.
        n_slots: Number of slots of the generation.
        attempt: How many trials failed in this slot before.
        entropy: The seed.
        study: Name of the study that it was made in; in another study it means nothing.
        parents: Numbers of the two parent trials; empty in generation 0.
        repeats: Number of the trial whose parameters are evaluated once more.
        operators: The way in which the study is searched (see `_ways`).
        step: Size of the mutation of numbers, where that is one for the whole child.
        variant: Which of the children that the slot might have had.
    """

    generation: int
    slot: int
    n_slots: int
    attempt: int = 0
    entropy: int = 0
    study: str = ""
    parents: tuple[int, ...] = ()
    repeats: int | None = None
    operators: str = ANNEALED  # earlier versions wrote none
    step: float = 0.0
    variant: int = 0

    @property
    def key(self) -> SlotKey:
        """The slot among those of all generations."""
        return self.generation, self.slot

    @classmethod
    def from_attr(cls, attr: Mapping[str, Any]) -> Self:
        """Read what `to_attr` wrote."""
        return cls(**{**attr, "parents": tuple(attr["parents"])})

    def to_attr(self) -> dict[str, Any]:
        """Return the assignment as JSON types."""
        return {**asdict(self), "parents": list(self.parents)}

    def selection_rng(self) -> Generator:
        """Return the stream that chooses the parents."""
        return self._rng(_SELECTION)

    def variation_rng(self) -> Generator:
        """Return the stream that crosses and mutates."""
        return self._rng(_VARIATION, *([self.variant] if self.variant else []))

    def uniform(self, name: str) -> float:
        """Return the number in [0, 1) that belongs to a parameter in this slot.

        It depends on no other parameter, so a space may suggest in any order.
        """
        words = self._stream(_INDEPENDENT, zlib.crc32(name.encode())).generate_state(2, np.uint32)
        return (int(words[0]) * 2**21 + (int(words[1]) >> 11)) / 2**53

    def _rng(self, *key: int) -> Generator:
        return np.random.default_rng(self._stream(*key))

    def _stream(self, *key: int) -> SeedSequence:
        study = hash_name(self.study)
        slot = (self.entropy, study, self.generation, self.slot, self.attempt)
        return SeedSequence([*slot, *key])


def read_assignment(trial: FrozenTrial, study: str) -> SlotAssignment | None:
    """Return the assignment of a trial; None without one or with one of another study."""
    attr = GA_ASSIGNMENT.read(trial.system_attrs)
    if attr is None or attr["study"] != study:
        return None
    return SlotAssignment.from_attr(attr)

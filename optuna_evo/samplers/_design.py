"""The first trials of a study: a design that covers a space which nobody has declared.

    i slot of a trial, counted from 0 · k choices of a category · b = i // k

A define-by-run space shows its parameters one by one, so the design has a sequence for each name,
and what a parameter gets is a function of (seed, study, slot) and of what the trial has suggested
before it: any number of workers, and a restart, make the same.

* A category has each of its k choices once in every k slots, in an order of its own. So branches
  come early and evenly.
* A number follows a progressive Latin sequence: its first 2^m values lie in 2^m different parts of
  its own (log) range (as Sobol's do in one dimension, van der Corput 1935; the order of the parts
  is random, so that parameters are not correlated).
* Below a category the sequence runs over b, and each choice turns it by its share of the range.
  The values of one branch are thus even, and those of one round over all branches as well:
  whether a parameter belongs to a branch or to all need not be known (compare sliced Latin
  hypercubes, Qian 2012).
* What is far from the middle in many parameters at once is rarely good: the first slot is the
  middle of all ranges, the next ones keep away from their ends.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import Final
import zlib

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from optuna_evo.samplers._first import fitted
from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._streams import hash_name


__all__ = ["design_value", "Start"]

Key = tuple[int, ...]
"""Seed and hash of the study's name, then what tells streams of one study apart."""

_LEVELS: Final = 10
_N_EVEN: Final = 2**_LEVELS  # slots; what comes after is drawn at random
_N_INNER: Final = 8  # slots that keep away from the ends of ranges
_FIRST_ROUND: Final = 0.5  # of the range: values of the first round over all branches
_INNER: Final = 0.8  # of the range: values of later rounds, up to `_N_INNER` slots
_CHOICE, _NUMBER, _TURN = range(3)  # set apart the streams of a parameter


@dataclass(frozen=True)
class Start:
    """What a sampler begins with: configurations of the user's, then the design.

    Args:
        seed: The seed of the sampler.
        first: What the first slots have, as far as it names their parameters.
    """

    seed: int
    first: Sequence[Mapping[str, Any]] = ()

    def value(
        self,
        study_name: str,
        slot: int,
        trial: FrozenTrial,
        name: str,
        distribution: BaseDistribution,
    ) -> Any:
        """Return what a parameter of a trial has, which has suggested others before.

        Raises:
            UsageError: If the user's value is not in the range.
        """
        if slot < len(self.first) and name in self.first[slot]:
            return fitted(self.first[slot], slot, name, distribution)
        before = {known: (trial.distributions[known], v) for known, v in trial.params.items()}
        own_slot = max(slot - len(self.first), 0)
        key = (self.seed, hash_name(study_name))
        return design_value(key, own_slot, name, distribution, before)


def design_value(
    study_key: Key,
    slot: int,
    name: str,
    distribution: BaseDistribution,
    before: Mapping[str, tuple[BaseDistribution, Any]],
) -> Any:
    """Return what a parameter has in a slot of the design.

    Args:
        study_key: Seed and hash of the study's name.
        slot: Which trial of the study it is, from 0.
        name: The parameter.
        distribution: Its range.
        before: Ranges and values of the parameters that the trial has already, in their order.

    Example:
        >>> flag = CategoricalDistribution([True, False])
        >>> sorted(design_value((0, 0), slot, "flag", flag, {}) for slot in (4, 5))
        [False, True]
    """
    key = (*study_key, zlib.crc32(name.encode()))
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[_order(key, slot, len(distribution.choices))]
    if slot == 0:
        return draw(0.5, distribution)
    parent, n_choices, turn = _last_category(study_key, before)
    block = slot // n_choices
    unit = even((*key, _NUMBER), block)
    if parent:
        unit = (unit + _turn((*key, _TURN), turn, n_choices)) % 1.0
    if slot < _N_INNER:
        unit = 0.5 + (unit - 0.5) * (_FIRST_ROUND if block == 0 else _INNER)
    return draw(unit, distribution)


def even(key: Key, index: int) -> float:
    """Return the index-th number of a progressive Latin sequence in [0, 1).

    Each new one of a block of 2^(m-1) halves another of the 2^(m-1) parts that have one yet.
    """
    if index >= _N_EVEN:
        return float(_stream((*key, index)).random())
    first_half = _first_half(key)
    place, level = 0, 0
    if index > 0:
        level = index.bit_length()
        n_parts = 2 ** (level - 1)
        part = int(_stream((*key, level)).permutation(n_parts)[index - n_parts])
        place = 2 * part + 1 - first_half[n_parts + part]
    while level < _LEVELS:
        place = 2 * place + first_half[2**level + place]
        level += 1
    jitter = float(_stream((*key, _N_EVEN, index)).random())
    return (place + jitter) / _N_EVEN


@lru_cache(maxsize=256)
def _first_half(key: Key) -> bytes:
    """Return which half of each part of each level has the number that came into it first."""
    return _stream(key).integers(2, size=2 * _N_EVEN, dtype=np.uint8).tobytes()


def _order(key: Key, slot: int, n_choices: int) -> int:
    """Return the choice of a slot: each once in a round of n."""
    round_, place = divmod(slot, n_choices)
    return int(_stream((*key, _CHOICE, round_)).permutation(n_choices)[place])


def _last_category(
    study_key: Key, before: Mapping[str, tuple[BaseDistribution, Any]]
) -> tuple[str, int, int]:
    """Return the category that was suggested last, its size, and the turn of the choice.

    That is the slot of the first round in which the choice was made. Without a category: one
    choice, of which every slot is a round.
    """
    for name in reversed([*before]):
        distribution, value = before[name]
        if isinstance(distribution, CategoricalDistribution) and not distribution.single():
            n_choices = len(distribution.choices)
            index = int(distribution.to_internal_repr(value))
            key = (*study_key, zlib.crc32(name.encode()), _CHOICE, 0)
            order = _stream(key).permutation(n_choices)
            return name, n_choices, int(np.flatnonzero(order == index)[0])
    return "", 1, 0


def _turn(key: Key, turn: int, n_choices: int) -> float:
    """Return the share of the range by which a choice turns the sequence: k different ones."""
    if n_choices > 2 * _N_INNER:
        return even(key, turn)
    places = [even(key, k) for k in range(n_choices)]
    return sorted(places).index(places[turn]) / n_choices


def _stream(key: Key) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))

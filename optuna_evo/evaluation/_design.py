"""Where tuning looks: one procedure for everybody, a pure function of seed, trial and results.

Trial 0 is the defaults. Trials 1 to 7 are spread evenly over the space, as AlgoPerf's tuning is.
From then on come stages of eight: six around the best so far, in a box that shrinks from stage to
stage, and two more of the even spread, so that a wrong beginning is left. A stage waits for the
one before and for nothing else. So what is tuned with 16 trials is the beginning of what is tuned
with 64, any number of processes finds the same, and the best after 1, 4, 16, … trials is what a
budget of so many would have found.

A trial is known by its slot, not by its number: one that was lost is trained again in its slot.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
import zlib

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import JUDGE_SLOT


__all__ = ["by_slot", "propose", "SlotSampler", "stage_ends", "words_of"]

_STAGE = 8
_SPREAD_IN_STAGE = 2
_FIRST_HALF_WIDTH = 0.2  # of the range, in the first stage around the best
_KEEP_CHOICE = 0.75

Params = Mapping[str, Any]
Propose = Callable[[int, Mapping[int, FrozenTrial]], dict[str, Any]]


def stage_ends(budget: int) -> list[int]:
    """Return after how many trials each stage ends.

    Example:
        >>> stage_ends(20)
        [8, 16, 20]
    """
    return [*range(_STAGE, budget, _STAGE), budget]


def by_slot(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Return the complete trials by their slots, the first one of each."""
    found: dict[int, FrozenTrial] = {}
    for trial in trials:
        slot = JUDGE_SLOT.read(trial.user_attrs)
        if trial.state == TrialState.COMPLETE and slot is not None:
            found.setdefault(int(slot), trial)
    return found


def propose(
    slot: int,
    known: Sequence[tuple[Params, float]],
    space: Mapping[str, BaseDistribution],
    first: Params,
    *,
    words: Sequence[int],
) -> dict[str, Any]:
    """Return the parameters of a tuning trial.

    Args:
        slot: Its place, from 0.
        known: Parameters and losses of the trials of earlier stages.
        space: What is tuned.
        first: The parameters of slot 0.
        words: Numbers that the random stream is drawn from.
    """
    if slot == 0 or not space:
        return dict(first)
    stage, place = divmod(slot, _STAGE)
    if stage == 0:
        return _at(_strata(_STAGE - 1, len(space), words)[place - 1], space)
    if place < _SPREAD_IN_STAGE or not known:
        even = _strata(_STAGE, len(space), [*words, stage, 0])
        return _at(even[place], space)
    best = min(known, key=lambda pair: pair[1])[0]
    even = _strata(_STAGE - _SPREAD_IN_STAGE, len(space), [*words, stage, 1])
    unit = even[place - _SPREAD_IN_STAGE].tolist()
    half = _FIRST_HALF_WIDTH / stage
    found: dict[str, Any] = {}
    for u, (name, each) in zip(unit, space.items(), strict=True):
        if isinstance(each, CategoricalDistribution):
            if u < _KEEP_CHOICE:
                found[name] = best[name]
            else:
                found[name] = _choice(each, (u - _KEEP_CHOICE) / (1 - _KEEP_CHOICE))
        else:
            found[name] = _number(each, _unit(each, best[name]) + half * (2 * u - 1))
    return found


class SlotSampler(optuna.samplers.BaseSampler):
    """Give each trial of a study the lowest free slot, and the parameters of the slot.

    Args:
        space: What parameters there are.
        parameters: Makes the parameters of a slot from the complete trials by slot.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], parameters: Propose) -> None:
        self._space = dict(space)
        self._parameters = parameters

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take a slot, unless the trial brings one along from a worker that was lost."""
        if JUDGE_SLOT.is_in(trial.user_attrs):
            return
        while True:
            others = [t for t in _fresh(study) if t.number != trial.number]
            taken = {_slot(t) for t in others if t.state != TrialState.FAIL}
            slot = next(i for i in range(len(others) + 1) if i not in taken)
            study._storage.set_trial_user_attr(trial._trial_id, JUDGE_SLOT.key, slot)
            trial.user_attrs[JUDGE_SLOT.key] = slot
            # of two that looked at once the later one moves
            earlier = [t for t in _fresh(study) if t.number < trial.number]
            if slot not in {_slot(t) for t in earlier if t.state != TrialState.FAIL}:
                return

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the space."""
        return self._space

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return the parameters of the trial's slot."""
        slot = _slot(study._storage.get_trial(trial._trial_id))
        assert slot is not None
        return self._parameters(slot, by_slot(_fresh(study)))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse: everything is in the declared space."""
        raise ValueError(f"{param_name!r} is in no space of a judgement.")


def words_of(*parts: int | str) -> list[int]:
    """Return the numbers that a stream is drawn from."""
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in parts]


def _fresh(study: optuna.Study) -> list[FrozenTrial]:
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _slot(trial: FrozenTrial) -> int | None:
    found = JUDGE_SLOT.read(trial.user_attrs)
    return None if found is None else int(found)


def _strata(n: int, dimension: int, words: Sequence[int]) -> NDArray[np.float64]:
    """Return n points of the unit cube (n, dimension), each in an n-th of its own of every axis.

    A Latin hypercube: so few independent draws would leave holes in each axis.
    """
    random = np.random.default_rng(list(words))
    cells = np.stack([random.permutation(n) for _ in range(dimension)], axis=1)
    return np.asarray((cells + random.random((n, dimension))) / n)


def _at(unit: NDArray[np.float64], space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {
        name: _choice(each, u) if isinstance(each, CategoricalDistribution) else _number(each, u)
        for u, (name, each) in zip(unit.tolist(), space.items(), strict=True)
    }


def _choice(distribution: CategoricalDistribution, u: float) -> Any:
    n = len(distribution.choices)
    return distribution.choices[min(n - 1, int(u * n))]


def _number(distribution: BaseDistribution, u: float) -> float:
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    u = min(1.0, max(0.0, u))
    if not distribution.log:
        return low + u * (high - low)
    found = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    return min(high, max(low, found))


def _unit(distribution: BaseDistribution, value: float) -> float:
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    if not distribution.log:
        return (value - low) / (high - low)
    return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))

"""What a segment's result says beside those of the other members.

Only ranks and ratios enter, so that the recurrence does not depend on the scale of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from optuna_evo.attributes import GRAD_NORM
from optuna_evo.samplers._recurrence._state import PopulationState
from optuna_evo.samplers._recurrence._state import Result


__all__ = ["Feedback", "find_rivals", "loss_noise", "rank_among", "read_feedback"]

NOISE_WINDOW = 16  # segments of a lineage from which the noise of the loss is estimated


@dataclass(frozen=True)
class Feedback:
    """The signals s_t of one segment.

    Args:
        rank: Share of its rivals that are better, in [0, 1]; one half where it has none.
        gain: By how much its loss fell more than that of the others' latest segments, in robust
            standard deviations squashed to (-1, 1); 0 where nothing is known. Where its violation
            of constraints changed, 1 if it fell and -1 if it grew.
        grad_change: ln of the ratio of its gradient norm to its parent's; 0 where not known.
    """

    rank: float = 0.5
    gain: float = 0.0
    grad_change: float = 0.0


def read_feedback(population: PopulationState, result: Result) -> Feedback:
    """Return the signals of a member's latest segment."""
    others = [
        other for other in population.latest() if other.segment.member != result.segment.member
    ]
    change = _change_of_violation(population, result)
    falls = [_fall(population, other) for other in others]
    return Feedback(
        rank=rank_among(result, find_rivals(population, result)),
        gain=-float(np.sign(change)) if change else _relative(_fall(population, result), falls),
        grad_change=_grad_change(population, result),
    )


def loss_noise(population: PopulationState) -> float:
    """Return the standard deviation of a loss around the course of its lineage; 0 if not known.

    Three losses a, b, c in a row lie on a line but for noise: a - 2 b + c has six times the
    variance of one. The median over the latest segments of all members keeps out jumps.
    """
    bends = []
    for result in population.latest():
        losses = [r.loss for r in population.ancestry(result, NOISE_WINDOW)]
        bends += [a - 2.0 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    known = np.abs([bend for bend in bends if math.isfinite(bend)])
    if len(known) < 3:
        return 0.0
    # 0.6745 standard deviations of a normal variable are the median of its absolute value
    return float(np.median(known)) / (0.6745 * math.sqrt(6.0))


def find_rivals(population: PopulationState, result: Result) -> list[Result]:
    """Return the other segments of the same index, also those that none went on from."""
    index, number = result.segment.index, result.trial.number
    equals = (r for r in population.results.values() if r.segment.index == index)
    return [rival for rival in equals if rival.trial.number != number]


def rank_among(result: Result, rivals: Sequence[Result]) -> float:
    """Return the share of rivals that are better, ties half; one half without rivals."""
    better = sum(rival.rank < result.rank for rival in rivals)
    ties = sum(rival.rank == result.rank for rival in rivals)
    return (better + 0.5 * ties) / len(rivals) if rivals else 0.5


def _fall(population: PopulationState, result: Result) -> float:
    """Return by how much the loss fell during a segment; NaN if that is not known."""
    parent = population.parent(result)
    fall = parent.loss - result.loss if parent is not None else math.nan
    return fall if math.isfinite(fall) else math.nan


def _change_of_violation(population: PopulationState, result: Result) -> float:
    parent = population.parent(result)
    if parent is None or parent.violation == result.violation:
        return 0.0  # both may be infinite
    return result.violation - parent.violation


def _relative(fall: float, others: Sequence[float]) -> float:
    known = np.array([other for other in others if not math.isnan(other)])
    if math.isnan(fall) or len(known) < 2:
        return 0.0
    middle = float(np.median(known))
    # 1.4826 median absolute deviations are a standard deviation, for a normal variable
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    if spread == 0.0:
        return float(np.sign(fall - middle))
    return math.tanh((fall - middle) / spread)


def _grad_change(population: PopulationState, result: Result) -> float:
    parent = population.parent(result)
    if parent is None:
        return 0.0
    before, after = (GRAD_NORM.read(r.trial.user_attrs) for r in (parent, result))
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return 0.0
    return math.log(after / before) if 0.0 < before < math.inf and 0.0 < after < math.inf else 0.0

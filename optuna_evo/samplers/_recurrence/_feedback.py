"""What a segment's result says beside those of the other members.

Only ranks and ratios enter, so that the recurrence does not depend on the scale of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.random import Generator

from optuna_evo.samplers._recurrence._lineup import Lineup
from optuna_evo.samplers._recurrence._lineup import Result


__all__ = ["choose_better", "Feedback", "loss_noise", "read_feedback"]

GRAD_NORM_KEY = "grad_norm"
NOISE_WINDOW = 5  # segments of a lineage from which the noise of the loss is estimated


@dataclass(frozen=True)
class Feedback:
    """The signals s_t of one segment.

    Args:
        rank: Share of its rivals that are better, in [0, 1]; one half where it has none.
        gain: By how much its loss fell more than that of the others' latest segments, in robust
            standard deviations squashed to (-1, 1); 0 where nothing is known.
        grad_change: ln of the ratio of its gradient norm to its parent's; 0 where not known.
    """

    rank: float = 0.5
    gain: float = 0.0
    grad_change: float = 0.0


def read_feedback(lineup: Lineup, result: Result) -> Feedback:
    """Return the signals of a member's latest segment."""
    others = [other for other in lineup.latest() if other.ticket.member != result.ticket.member]
    return Feedback(
        rank=_rank(result, _rivals(lineup, result)),
        gain=_relative(_fall(lineup, result), [_fall(lineup, other) for other in others]),
        grad_change=_grad_change(lineup, result),
    )


def choose_better(
    lineup: Lineup,
    result: Result,
    *,
    quantile: float,
    tolerance: float,
    rivalry: float,
    rng: Generator,
) -> Result | None:
    """Return the segment that a member exploits; None if it goes on from its own.

    Rivals are compared where they were trained equally far. At rivalry 1 a member among the worst
    `quantile` goes on from one of as many best. As rivalry falls, both shares close in on the very
    best; at 0 every member goes on from the best of all.

    Args:
        lineup: The members.
        result: The member's latest segment.
        quantile: Share of the members in (0, 0.5]; 0: nobody exploits.
        tolerance: How much worse than the best counts as equal, see `_front`.
        rivalry: How far members keep their own ways, in [0, 1].
        rng: Chooses among the best.
    """
    if quantile == 0.0:
        return None
    rivals = sorted(_rivals(lineup, result), key=lambda rival: rival.rank)
    if rivalry > 0.0 and _rank(result, rivals) <= (1.0 - quantile) * rivalry:
        return None
    latest = lineup.latest()
    better = [rival for rival in rivals if rival.rank < result.rank]
    lines = [[other for other in latest if lineup.descends(other, rival)] for rival in better]
    if rivalry > 0.0 and any(lines):
        living = [line for line in lines if line]
        n_best = max(round(quantile * rivalry * (len(rivals) + 1)), 1)
        latest = living[int(rng.integers(min(n_best, len(living))))]
    front = _front(lineup, latest, tolerance)
    return None if front is None or front.ticket.member == result.ticket.member else front


def loss_noise(lineup: Lineup) -> float:
    """Return the standard deviation of a loss around the course of its lineage; 0 if not known.

    Three losses a, b, c in a row lie on a line but for noise: a - 2 b + c has six times the
    variance of one. The median over the latest segments of all members keeps out jumps.
    """
    bends = []
    for result in lineup.latest():
        losses = [r.loss for r in lineup.ancestry(result, NOISE_WINDOW)]
        bends += [a - 2.0 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    known = np.abs([bend for bend in bends if math.isfinite(bend)])
    return float(np.median(known)) / (0.6745 * math.sqrt(6.0)) if len(known) >= 3 else 0.0


def _rivals(lineup: Lineup, result: Result) -> list[Result]:
    """Return the other segments of the same index, also those that nobody went on from."""
    index, number = result.ticket.index, result.trial.number
    equals = (r for r in lineup.results.values() if r.ticket.index == index)
    return [rival for rival in equals if rival.trial.number != number]


def _rank(result: Result, rivals: Sequence[Result]) -> float:
    better = sum(rival.rank < result.rank for rival in rivals)
    ties = sum(rival.rank == result.rank for rival in rivals)
    return (better + 0.5 * ties) / len(rivals) if rivals else 0.5


def _front(lineup: Lineup, results: Sequence[Result], tolerance: float) -> Result | None:
    """Return the best of some latest segments, or what went on from it and is about as good.

    What is worse by at most `tolerance` standard deviations of noise counts as equal, and of
    equals the one trained furthest is the best. To go back for the luck of the last batches would
    throw training away, again and again.
    """
    whole = [result for result in results if result.has_weights]
    if not whole:
        return None
    best = min(whole, key=lambda result: (result.loss, result.ticket.member))
    bound = best.loss + tolerance * loss_noise(lineup)
    equal = [r for r in whole if r.loss <= bound and lineup.descends(r, best)]
    return max(equal, key=lambda result: result.ticket.index)


def _fall(lineup: Lineup, result: Result) -> float:
    """Return by how much the loss fell during a segment; NaN if that is not known."""
    parent = lineup.parent(result)
    fall = parent.loss - result.loss if parent is not None else math.nan
    return fall if math.isfinite(fall) else math.nan


def _relative(fall: float, others: Sequence[float]) -> float:
    known = np.array([other for other in others if not math.isnan(other)])
    if math.isnan(fall) or len(known) < 2:
        return 0.0
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    if spread == 0.0:
        return float(np.sign(fall - middle))
    return math.tanh((fall - middle) / spread)


def _grad_change(lineup: Lineup, result: Result) -> float:
    parent = lineup.parent(result)
    if parent is None:
        return 0.0
    before, after = (r.trial.user_attrs.get(GRAD_NORM_KEY) for r in (parent, result))
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return 0.0
    return math.log(after / before) if 0.0 < before < math.inf and 0.0 < after < math.inf else 0.0

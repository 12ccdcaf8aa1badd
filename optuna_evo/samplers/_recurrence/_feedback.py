"""What a segment's result says beside those of the other members.

Only ranks and ratios enter, so that the recurrence does not depend on the scale of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from optuna_evo.samplers._recurrence._lineup import Lineup
from optuna_evo.samplers._recurrence._lineup import Result


__all__ = ["Feedback", "loss_noise", "read_feedback", "truncation"]

GRAD_NORM_KEY = "grad_norm"
NOISE_WINDOW = 5  # segments of a lineage from which the noise of the loss is estimated


@dataclass(frozen=True)
class Feedback:
    """The signals s_t of one segment.

    Args:
        rank: Share of the other members that are better, in [0, 1].
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
    if not others:
        return Feedback()
    better = sum(other.rank < result.rank for other in others)
    ties = sum(other.rank == result.rank for other in others)
    return Feedback(
        rank=(better + 0.5 * ties) / len(others),
        gain=_relative(_fall(lineup, result), [_fall(lineup, other) for other in others]),
        grad_change=_grad_change(lineup, result),
    )


def truncation(
    lineup: Lineup, *, quantile: float, tolerance: float, rivalry: float
) -> tuple[list[Result], set[int]]:
    """Return the best latest segments, and the members that are to go on from one of them.

    At rivalry 1 these are the best and the worst `quantile` of the members. As it falls, both
    shares close in on the very best, until at rivalry 0 all others go on from it.

    Args:
        lineup: The members.
        quantile: Share of the members in (0, 0.5]; 0: nobody.
        tolerance: How much worse than the best counts as equal, see `_by_standing`.
        rivalry: How far members keep their own ways, in [0, 1].
    """
    latest = _by_standing(lineup, tolerance)
    if quantile == 0.0 or len(latest) < 2:
        return [], set()
    n_best = max(round(quantile * rivalry * len(latest)), 1)
    n_stay = max(round((1.0 - quantile) * rivalry * len(latest)), n_best)
    best = [result for result in latest[:n_best] if result.has_weights]
    return best, {result.ticket.member for result in latest[n_stay:]}


def loss_noise(lineup: Lineup) -> float:
    """Return the standard deviation of a loss around the course of its lineage; 0 if not known.

    Three losses a, b, c in a row lie on a line but for noise: a - 2 b + c has six times the
    variance of one. The median over the latest segments of all members keeps out jumps.
    """
    bends = []
    for result in lineup.latest():
        losses = [r.loss for r in _ancestry(lineup, result, NOISE_WINDOW)]
        bends += [a - 2.0 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    known = np.abs([bend for bend in bends if math.isfinite(bend)])
    return float(np.median(known)) / (0.6745 * math.sqrt(6.0)) if len(known) >= 3 else 0.0


def _by_standing(lineup: Lineup, tolerance: float) -> list[Result]:
    """Return the latest segments, the best first.

    Losses within `tolerance` standard deviations of noise above the best count as equal, and of
    equals the one trained furthest is first. To go back to an earlier one for the luck of its last
    batches would throw its training away.
    """
    latest = sorted(lineup.latest(), key=lambda result: (result.rank, result.ticket.member))
    bound = latest[0].loss + tolerance * loss_noise(lineup) if latest else 0.0
    equal = [result for result in latest if result.has_weights and result.loss <= bound]
    equal.sort(key=lambda result: -result.ticket.index)
    return equal + latest[len(equal) :]


def _ancestry(lineup: Lineup, result: Result, n: int) -> list[Result]:
    """Return a segment and up to n - 1 before it along its lineage, the latest first."""
    chain = [result]
    while len(chain) < n and (parent := lineup.parent(chain[-1])) is not None:
        chain.append(parent)
    return chain


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

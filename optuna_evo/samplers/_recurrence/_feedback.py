"""What a segment's result says beside those of the other members.

Only ranks and ratios enter, so that the recurrence does not depend on the scale of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from optuna_evo.samplers._recurrence._lineup import Lineup
from optuna_evo.samplers._recurrence._lineup import Result


__all__ = ["Feedback", "read_feedback", "truncation"]

GRAD_NORM_KEY = "grad_norm"


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


def truncation(lineup: Lineup, quantile: float) -> tuple[list[Result], set[int]]:
    """Return the best and the members of the worst `quantile` of the latest segments.

    Each are at least one, and none is both; nobody where fewer than two members have finished.
    """
    latest = sorted(lineup.latest(), key=lambda result: (result.rank, result.ticket.member))
    n = min(math.ceil(quantile * len(latest)), len(latest) // 2)
    best = [result for result in latest[:n] if result.has_weights]
    return best, {result.ticket.member for result in latest[len(latest) - n :]}


def _fall(lineup: Lineup, result: Result) -> float:
    """Return by how much the loss fell during a segment; NaN if that is not known."""
    parent = lineup.results.get(result.ticket.parent) if result.ticket.parent is not None else None
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
    parent = lineup.results.get(result.ticket.parent) if result.ticket.parent is not None else None
    if parent is None:
        return 0.0
    before, after = (r.trial.user_attrs.get(GRAD_NORM_KEY) for r in (parent, result))
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return 0.0
    return math.log(after / before) if 0.0 < before < math.inf and 0.0 < after < math.inf else 0.0

"""Two verdicts that are not each other's: it works, and it is better than what came before.

A rule that reaches no target may still beat a predecessor that reaches none either; a rule that
reaches it may be worse than its predecessor. A verdict is "yes", "no", or "open": the values do
not decide it, and more seeds may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Literal

from optuna_evo.evaluation._interval import CONFIDENCE
from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._paired import Paired


__all__ = ["Answer", "better", "valid", "Verdict"]

Answer = Literal["yes", "no", "open"]


@dataclass(frozen=True)
class Verdict:
    """An answer and what it rests on.

    Args:
        answer: "yes", "no" or "open".
        interval: Of the mean, or of the difference, that was asked about.
        diverged: Share of the trainings that diverged; 0 where it was not asked.
        p_value: Of the difference, corrected; 1 where there is no test.
    """

    answer: Answer
    interval: Interval
    diverged: float = 0.0
    p_value: float = 1.0

    def __bool__(self) -> bool:
        """Whether the answer is yes."""
        return self.answer == "yes"


def valid(
    values: Sequence[float],
    target: float,
    *,
    minimize: bool = True,
    most_diverged: float = 0.0,
    seed: int = 0,
) -> Verdict:
    """Say whether an optimizer reaches a target: the interval of its mean lies beyond it.

    Args:
        values: The final measurement of each training; one that is not finite diverged.
        target: What is to be reached.
        minimize: Whether less is better.
        most_diverged: Share of trainings that may diverge; with more the answer is no. What has
            diverged is in no mean.
        seed: Of the resampling.

    Example:
        >>> valid([0.20, 0.22, 0.21, 0.19], target=0.3).answer
        'yes'
    """
    if not len(values):
        raise ValueError("A verdict needs at least one training.")
    finite = [value for value in values if math.isfinite(value)]
    diverged = 1 - len(finite) / len(values)
    if not finite:
        return Verdict("no", Interval(math.nan, math.nan, math.nan), diverged)
    interval = Interval.bootstrap(finite, seed=seed)
    if diverged > most_diverged:
        return Verdict("no", interval, diverged)
    # the side on which the target is reached; NaN ends (a single training) leave it open
    reached = interval.high <= target if minimize else interval.low >= target
    missed = interval.low > target if minimize else interval.high < target
    return Verdict("yes" if reached else "no" if missed else "open", interval, diverged)


def better(comparison: Paired, *, p_value: float | None = None, minimize: bool = True) -> Verdict:
    """Say whether an optimizer is better than another one: its predecessor, or a baseline.

    It takes both an interval that excludes 0 and a p-value of at most 0.05.

    Args:
        comparison: Ours minus theirs (`paired`).
        p_value: The p-value corrected for all comparisons of the table (`holm`); None: there is
            only this one.
        minimize: Whether less is better.
    """
    found = comparison.p_value if p_value is None else p_value
    interval = comparison.difference
    answer: Answer = "open"
    # rounding: 1 - 0.95 is a little more than 0.05, and no p-value lies between
    if found <= 1 - CONFIDENCE and interval.excludes_zero:
        answer = "yes" if (interval.mean < 0) == minimize else "no"
    return Verdict(answer, interval, p_value=found)

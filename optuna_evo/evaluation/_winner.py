"""Naming a winner: the best of many was lucky too, so it is measured again.

The best value of a search is the best of noisy values, so it is better than the candidate is (the
winner's curse). `confirm_winner` measures the best k again on seeds that no search saw, chooses
among them by that, and then measures the one chosen on yet other seeds: only those are its value.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from optuna_evo.evaluation._interval import Interval


__all__ = ["confirm_winner", "Measure", "Narrowed", "until_narrow", "Winner"]

Measure = Callable[[Sequence[int], Sequence[int]], Sequence[Sequence[float]]]
"""From indices of candidates and seeds, for each candidate a value for each seed."""

_RUNNING = 3  # looks that must be narrow


@dataclass(frozen=True)
class Winner:
    """The candidate that was chosen, and what it is worth.

    Args:
        index: Its place among the candidates.
        estimate: Its mean on the seeds of the report, with the interval; of trainings that did
            not diverge.
        values: What was measured there, by seed; NaN or infinite where it diverged.
        searched: The value that the search had for it.
        means: The mean of each of the best k on the choosing seeds, by index; infinitely bad where
            one of them diverged.
    """

    index: int
    estimate: Interval
    values: tuple[float, ...]
    searched: float
    means: dict[int, float]

    @property
    def optimism(self) -> float:
        """The value on fresh seeds minus that of the search."""
        return self.estimate.mean - self.searched


def confirm_winner(
    searched: Sequence[float],
    measure: Measure,
    *,
    choosing_seeds: Sequence[int],
    report_seeds: Sequence[int],
    k: int = 10,
    minimize: bool = True,
) -> Winner:
    """Measure the best k candidates of a search again, choose one, and measure that one again.

    Args:
        searched: The value of each candidate in the search; what is not finite is not chosen.
        measure: Trains candidates with seeds; it is called twice.
        choosing_seeds: Seeds that no search saw, to choose by.
        report_seeds: Other ones, for the estimate.
        k: How many candidates are measured again; >= 1.
        minimize: Whether less is better.

    Raises:
        ValueError: If the seeds overlap, a number is out of range, or all candidates diverge.
    """
    if shared := {*choosing_seeds} & {*report_seeds}:
        raise ValueError(f"Seeds to choose by and to report on must differ, got both {shared}.")
    if k < 1 or not choosing_seeds or not report_seeds:
        raise ValueError("A winner needs k >= 1 and seeds to choose by and to report on.")
    sign = 1.0 if minimize else -1.0
    finite = [i for i, value in enumerate(searched) if math.isfinite(value)]
    best = sorted(finite, key=lambda i: sign * searched[i])[:k]
    means = {
        index: float(np.mean(row)) if np.isfinite(row).all() else sign * math.inf
        for index, row in zip(best, measure(best, choosing_seeds), strict=True)
    }
    index = min(means, key=lambda i: sign * means[i], default=-1)
    if index < 0 or not math.isfinite(means[index]):
        raise ValueError("There is no winner: every candidate diverged.")
    values = tuple(float(value) for value in measure([index], report_seeds)[0])
    kept = [value for value in values if math.isfinite(value)]
    none = Interval(math.nan, math.nan, math.nan)
    estimate = Interval.bootstrap(kept) if kept else none
    return Winner(index, estimate, values, searched[index], means)


@dataclass(frozen=True)
class Narrowed:
    """Values for as many seeds as an interval needed.

    Args:
        interval: Of all values.
        values: By seed.
        half_widths: Of the interval at each look.
        narrow: Whether it became, and stayed, as narrow as asked; if not, the seeds ran out.
    """

    interval: Interval
    values: tuple[float, ...]
    half_widths: tuple[float, ...]
    narrow: bool


def until_narrow(
    measure: Callable[[Sequence[int]], Sequence[float]],
    seeds: Sequence[int],
    *,
    half_width: float,
    start: int = 20,
    step: int = 5,
    seed: int = 0,
) -> Narrowed:
    """Measure with more seeds until the interval of the mean is as narrow as asked.

    An interval that is looked at until it is narrow is narrow by luck as well, and misses the mean
    more often than it says: by 1 to 5 in 100 when the first narrow look at 10, 15, 20, … values
    ends it. Hence the first look is at 20 values, and three looks running must be narrow.
    Simulated coverage (6,000 sets each) is then 93.7 to 95.3 % for half-widths of 0.35 standard
    deviations and more, on normal, exponential, log-normal and t(3) values; at 0.25, some 75
    seeds, it is 94.7, 93.0, 92.9 and 94.0 %.

    Args:
        measure: From seeds to independent values, finite; called once a look, with new seeds.
        seeds: The seeds to take in turn; when they are spent, it ends.
        half_width: What is asked for; > 0.
        start: Number of seeds at the first look; >= 2.
        step: How many come for each further look; >= 1.
        seed: Of the resampling.

    Example:
        >>> found = until_narrow(lambda seeds: [s % 3 for s in seeds], range(90), half_width=0.3)
        >>> found.narrow, len(found.values)
        (True, 40)
    """
    if not half_width > 0 or start < 2 or step < 1 or len(seeds) < start:
        raise ValueError(
            "Give `half_width` > 0, `start` >= 2, `step` >= 1 and at least `start` seeds, got "
            f"{half_width}, {start}, {step} and {len(seeds)} seeds."
        )
    values: list[float] = []
    widths: list[float] = []
    narrow = False
    while not narrow and len(values) < len(seeds):
        end = len(values) + (step if values else start)
        values += [float(value) for value in measure(seeds[len(values) : end])]
        interval = Interval.bootstrap(values, seed=seed)
        widths.append(interval.half_width)
        narrow = len(widths) >= _RUNNING and max(widths[-_RUNNING:]) <= half_width
    return Narrowed(interval, tuple(values), tuple(widths), narrow)

"""Speed: times to a target, performance profiles, speed-up, and how wide good learning rates are.

A time is in any unit: steps, seconds, tuning trials. A training that does not reach its target has
no time: that is `None` everywhere here, never a large number, and each result says how many there
were. Profiles are those of Dolan and Moré (2002), their score is AlgoPerf's (arXiv:2306.07179).
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
import sys

import numpy as np

from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._paired import Unit


__all__ = [
    "LrSensitivity",
    "lr_sensitivity",
    "Profile",
    "profiles",
    "SpeedUp",
    "speed_up",
    "Time",
    "time_to_target",
]

Time = float | None
"""When a target was reached; None: it was not."""


def time_to_target(
    times: Sequence[float], values: Sequence[float], target: float, *, minimize: bool = True
) -> Time:
    """Return the first of the times at which the value is as good as the target.

    Args:
        times: When a training was measured, ascending.
        values: What was measured; NaN reaches nothing.
        target: What is to be reached.
        minimize: Whether less is better, as for a loss.
    """
    for time, value in zip(times, values, strict=True):
        if value <= target if minimize else value >= target:
            return time
    return None


@dataclass(frozen=True)
class Profile:
    """On which share of the tasks an optimizer is within a factor of the fastest one.

    Args:
        ratios: Its time over the fastest time, one for each task, ascending; infinite where it did
            not reach the target.
    """

    ratios: tuple[float, ...]

    def at(self, factor: float) -> float:
        """Return the share of tasks with a ratio of at most `factor`."""
        return sum(ratio <= factor for ratio in self.ratios) / len(self.ratios)

    def score(self, most: float = 4.0) -> float:
        """Return the mean height of the profile from factor 1 to `most`: AlgoPerf's score."""
        reached = (max(0.0, most - ratio) for ratio in self.ratios)
        return sum(reached) / (most - 1) / len(self.ratios)

    @property
    def unreached(self) -> int:
        """On how many tasks the target was not reached."""
        return sum(math.isinf(ratio) for ratio in self.ratios)


def profiles(times: Mapping[str, Mapping[str, Time]]) -> dict[str, Profile]:
    """Return the performance profile of each optimizer.

    Args:
        times: By optimizer, the time on each task, > 0. On a task that none solves no one is
            within any factor.

    Raises:
        ValueError: If optimizers were timed on different tasks, or a time is not positive.

    Example:
        >>> found = profiles({"a": {"x": 100, "y": 300}, "b": {"x": 200, "y": None}})
        >>> found["b"].at(1), found["b"].at(2)
        (0.0, 0.5)
    """
    tasks = {task for own in times.values() for task in own}
    for name, own in times.items():
        if own.keys() != tasks:
            raise ValueError(f"{name!r} has no time on {sorted(tasks - own.keys())[:3]}.")
        _check_times(own.values())
    fastest = {
        task: min((t for own in times.values() if (t := own[task]) is not None), default=math.inf)
        for task in tasks
    }
    return {
        name: Profile(
            tuple(
                sorted(math.inf if time is None else time / fastest[t] for t, time in own.items())
            )
        )
        for name, own in times.items()
    }


@dataclass(frozen=True)
class SpeedUp:
    """How many times faster one optimizer reaches targets than another one.

    Args:
        ratio: Geometric mean of their time over ours, with its interval; above 1 ours is faster.
            NaN where no cell could be compared.
        both: Number of cells in which both reached the target.
        ours_only: In which ours alone did.
        theirs_only: In which theirs alone did.
        neither: In which none did; they are left out.
    """

    ratio: Interval
    both: int
    ours_only: int
    theirs_only: int
    neither: int


def speed_up(
    ours: Mapping[tuple[str, int], Time],
    theirs: Mapping[tuple[str, int], Time],
    *,
    budget: float,
    penalty: float = 2.0,
    unit: Unit = "seed",
    seed: int = 0,
) -> SpeedUp:
    """Compare the times to a target on the same cells.

    Where one did not reach the target, the ratio is not known, and what is taken for it speaks
    against ours: theirs would have reached it right after the budget, ours after `penalty` times
    the budget. A seed, or a task, that has no cell to compare is left out.

    Args:
        ours: Times by (task, seed); None: not reached within the budget.
        theirs: Those of the other one, of the same cells.
        budget: How long both were given; no time is above it.
        penalty: >= 1.
        unit: What the interval is over, as for `paired`.
        seed: Of the resampling.

    Raises:
        ValueError: If the cells differ, or a number is out of range.
    """
    if ours.keys() != theirs.keys():
        raise ValueError("Times must be of the same tasks and seeds.")
    if penalty < 1:
        raise ValueError(f"`penalty` must be at least 1, got {penalty}.")
    _check_times([*ours.values(), *theirs.values()], budget)
    logs: dict[tuple[str, int], float] = {}
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for cell, mine in ours.items():
        other = theirs[cell]
        counts[mine is not None, other is not None] += 1
        if mine is not None or other is not None:
            logs[cell] = math.log(budget if other is None else other) - math.log(
                penalty * budget if mine is None else mine
            )
    return SpeedUp(
        _geometric(_by_unit(logs, unit), seed),
        both=counts[True, True],
        ours_only=counts[True, False],
        theirs_only=counts[False, True],
        neither=counts[False, False],
    )


@dataclass(frozen=True)
class LrSensitivity:
    """How wide the range of good learning rates is.

    Args:
        share: Of the tried range, on a logarithmic scale.
        decades: The same in factors of ten.
        best_lr: The best rate tried.
    """

    share: float
    decades: float
    best_lr: float


def lr_sensitivity(
    rates: Sequence[float], values: Sequence[float], *, within: float, minimize: bool = True
) -> LrSensitivity:
    """Return which share of the tried learning rates is within a distance of the best.

    Between two rates the value is a straight line in log(rate); next to a rate at which training
    diverged (a value that is not finite) nothing counts as good.

    Args:
        rates: At least 2 different ones, > 0.
        values: What each led to.
        within: How much worse than the best is still good, in units of the values; >= 0.
        minimize: Whether less is better.

    Raises:
        ValueError: If the arguments are out of range, or no value is finite.
    """
    if len(rates) != len(values):
        raise ValueError("A sensitivity needs one value for each rate.")
    order = sorted(range(len(rates)), key=rates.__getitem__)
    xs = [math.log10(rates[i]) for i in order]
    ys = [values[i] if minimize else -values[i] for i in order]
    finite = [y for y in ys if math.isfinite(y)]
    if len(set(xs)) < 2 or not finite:
        raise ValueError("A sensitivity needs 2 rates with values, one of them finite.")
    best = min(finite)
    limit = best + within
    decades = sum(
        (x1 - x0) * _share_below(y0, y1, limit)
        for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False)
    )
    return LrSensitivity(decades / (xs[-1] - xs[0]), decades, rates[order[ys.index(best)]])


def _check_times(times: Iterable[Time], budget: float = math.inf) -> None:
    for time in times:
        if time is not None and not 0 < time <= min(budget, sys.float_info.max):
            raise ValueError(
                f"A time must be above 0 and within the budget, got {time}; None says that the "
                "target was not reached."
            )


def _share_below(y0: float, y1: float, limit: float) -> float:
    """Return the share of a straight line between two values that is at most `limit`."""
    if not math.isfinite(y0) or not math.isfinite(y1):
        return 0.0
    low, high = sorted((y0, y1))
    if high <= limit:
        return 1.0
    return 0.0 if low > limit else (limit - low) / (high - low)


def _by_unit(cells: Mapping[tuple[str, int], float], unit: Unit) -> list[float]:
    """Return means by seed or task, of the cells that there are."""
    position = 1 if unit == "seed" else 0
    groups: dict[object, list[float]] = {}
    for cell in sorted(cells):
        groups.setdefault(cell[position], []).append(cells[cell])
    return [float(np.mean(values)) for values in groups.values()]


def _geometric(logs: Sequence[float], seed: int) -> Interval:
    if not logs:
        return Interval(math.nan, math.nan, math.nan)
    found = Interval.bootstrap(logs, seed=seed)
    return Interval(math.exp(found.mean), math.exp(found.low), math.exp(found.high))

"""What a study cost: time, trainings, what was saved."""

from collections.abc import Sequence
import datetime
import statistics
from typing import NamedTuple

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import SAMPLER_SECONDS


__all__ = ["Cost", "cost_lines", "cost_of"]

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Cost(NamedTuple):
    """What the finished trials of a study took.

    Args:
        n_trials: Trials that are complete, pruned or failed.
        trial_seconds: Sum of their durations.
        whole_seconds: Median duration of a complete trial that took no other one's result; None
            without one.
        elapsed_seconds: Time in which at least one trial ran; pauses are left out.
        proposing_seconds: Sum of the times that it took to propose them.
        n_pruned: Trials that were stopped.
        n_reused: Trials that took the result of an equal one.
        n_failed: Trials that failed.
        started: When the first began.
        ended: When the last ended.
    """

    n_trials: int
    trial_seconds: float
    whole_seconds: float | None
    elapsed_seconds: float
    proposing_seconds: float
    n_pruned: int
    n_reused: int
    n_failed: int
    started: datetime.datetime | None
    ended: datetime.datetime | None


def cost_of(trials: Sequence[FrozenTrial]) -> Cost:
    """Compute what the finished trials took."""
    ended = [t for t in trials if t.state.is_finished()]
    timed = [t for t in ended if t.duration is not None]
    durations = [t.duration.total_seconds() for t in timed if t.duration is not None]
    whole = [
        t.duration.total_seconds()
        for t in timed
        if t.duration is not None
        and t.state == TrialState.COMPLETE
        and not REUSED_FROM.is_in(t.user_attrs)
    ]
    spans = sorted(
        (t.datetime_start, t.datetime_complete)
        for t in timed
        if t.datetime_start is not None and t.datetime_complete is not None
    )
    return Cost(
        n_trials=len(ended),
        trial_seconds=sum(durations),
        whole_seconds=statistics.median(whole) if whole else None,
        elapsed_seconds=_covered(spans),
        proposing_seconds=sum(float(SAMPLER_SECONDS.read(t.user_attrs, 0.0)) for t in ended),
        n_pruned=sum(t.state == TrialState.PRUNED for t in ended),
        n_reused=sum(REUSED_FROM.is_in(t.user_attrs) for t in ended),
        n_failed=sum(t.state == TrialState.FAIL for t in ended),
        started=spans[0][0] if spans else None,
        ended=max(end for _, end in spans) if spans else None,
    )


def cost_lines(cost: Cost) -> list[tuple[str, str]]:
    """Return the cost in words: what, and how much."""
    lines = [
        ("trials", f"{cost.n_trials}"),
        ("time of all trials together", _time(cost.trial_seconds)),
        ("time in which trials ran", _time(cost.elapsed_seconds)),
        ("of it to propose them", _time(cost.proposing_seconds)),
    ]
    if cost.whole_seconds:
        equal = cost.trial_seconds / cost.whole_seconds
        lines.append(
            ("in whole trials", f"{equal:.1f} of {_time(cost.whole_seconds)} each (median)")
        )
    lines += [
        (name, str(n))
        for name, n in (
            ("stopped by the pruner", cost.n_pruned),
            ("took the result of an equal trial", cost.n_reused),
            ("failed", cost.n_failed),
        )
        if n
    ]
    if cost.started is not None and cost.ended is not None:
        lines.append(("from … to", f"{cost.started:%Y-%m-%d %H:%M} … {cost.ended:%Y-%m-%d %H:%M}"))
    return lines


def _covered(spans: Sequence[tuple[datetime.datetime, datetime.datetime]]) -> float:
    """Return the length of the union of intervals, which are sorted by their beginnings."""
    total, until = 0.0, None
    for start, end in spans:
        begin = start if until is None or start > until else until
        if end > begin:
            total += (end - begin).total_seconds()
            until = end
    return total


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"

"""Samplers that searched the same space, compared by their studies."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.evaluation import Interval
from optuna_evo.reports._summary import best_trials
from optuna_evo.samplers import cost_of
from optuna_evo.samplers import is_feasible
from optuna_evo.samplers import SECONDS
from optuna_evo.search import FINISHED


__all__ = ["best_at", "compare", "Comparison", "Contender", "Course", "course_of"]

Array = NDArray[np.float64]


class Course(NamedTuple):
    """One study, evaluation by evaluation; n finished trials.

    Args:
        best: The best value after each, (n,); NaN before the first complete one.
        seconds: Seconds up to then in which a trial was running, (n,); pauses do not count.
        sampler_seconds: The part of all of them that the sampler took.
        params: The best trial's parameters.
        spent: What the trials have cost up to then, (n,): `seconds`, or the sum of an attribute.
    """

    best: Array
    seconds: Array
    sampler_seconds: float
    params: Mapping[str, Any]
    spent: Array


class Contender(NamedTuple):
    """One sampler over all seeds; the others are compared with the first.

    Args:
        label: Its name in the comparison.
        courses: One for each seed.
        final: Best value at the end, over seeds.
        rank: Mean over seeds of the rank at the end, 1 is best; ties get the mean of their ranks.
        to_reach: For each seed the evaluations until it was as good as the first sampler at its
            end, None if it never was.
        training_seconds: Mean seconds per study outside the sampler.
        sampler_seconds: Mean seconds per study inside the sampler.
        gain: By how much its best values are better than the first sampler's, paired by seed.
        params: The parameters of the best trial over all seeds.
        at_cost: Best value when as much is spent as the cheapest sampler of the same seed spends
            in all; NaN where nothing was found by then.
        gain_at_cost: By how much these values are better than the first sampler's.
    """

    label: str
    courses: Sequence[Course]
    final: Interval
    rank: float
    to_reach: Sequence[int | None]
    training_seconds: float
    sampler_seconds: float
    gain: Interval
    params: Mapping[str, Any]
    at_cost: Interval
    gain_at_cost: Interval


class Comparison(NamedTuple):
    """Samplers side by side.

    Args:
        name: What is compared.
        tasks: What was trained.
        better: "higher" or "lower".
        seeds: The seeds, the same for all.
        contenders: The samplers.
        cost: What trials cost: "seconds", or a user attribute; None: nothing was said.
    """

    name: str
    tasks: Sequence[str]
    better: str
    seeds: Sequence[int]
    contenders: Sequence[Contender]
    cost: str | None = None


def compare(
    name: str,
    tasks: Sequence[str],
    seeds: Sequence[int],
    studies: Mapping[str, Sequence[optuna.Study]],
    *,
    cost: str | None = None,
) -> Comparison:
    """Compare samplers by their studies.

    Args:
        name: What is compared.
        tasks: What was trained.
        seeds: The seeds.
        studies: For each sampler a study for each seed, with at least one complete trial.
        cost: What trials cost: "seconds", or a user attribute; None: seconds.
    """
    maximize = next(iter(studies.values()))[0].direction == StudyDirection.MAXIMIZE
    sign = 1.0 if maximize else -1.0  # times a value: higher is better
    courses = {label: [course_of(s, cost) for s in each] for label, each in studies.items()}
    at_cost = _at_equal_cost(courses)
    first_at_cost = next(iter(at_cost.values()))
    finals = {label: [float(c.best[-1]) for c in each] for label, each in courses.items()}
    baseline = next(iter(finals.values()))
    ranks = _mean_ranks(-sign * np.array(list(finals.values())))
    contenders = [
        Contender(
            label=label,
            courses=each,
            final=Interval.of(finals[label]),
            rank=rank,
            to_reach=[
                _evaluations_to_reach(sign * course.best, sign * goal)
                for course, goal in zip(each, baseline, strict=True)
            ],
            training_seconds=float(np.mean([c.seconds[-1] - c.sampler_seconds for c in each])),
            sampler_seconds=float(np.mean([c.sampler_seconds for c in each])),
            gain=Interval.of(
                [sign * (f - b) for f, b in zip(finals[label], baseline, strict=True)]
            ),
            params=max(each, key=lambda course: sign * float(course.best[-1])).params,
            at_cost=Interval.of(at_cost[label]),
            gain_at_cost=Interval.of(
                [sign * (f - b) for f, b in zip(at_cost[label], first_at_cost, strict=True)]
            ),
        )
        for (label, each), rank in zip(courses.items(), ranks, strict=True)
    ]
    better = "higher" if maximize else "lower"
    return Comparison(name, tasks, better, list(seeds), contenders, cost)


def course_of(study: optuna.Study, cost: str | None = None) -> Course:
    """Return the course of a study: its finished trials in the order in which they ended.

    Pruned and infeasible trials count as evaluations: they cost time too.

    Args:
        study: The study.
        cost: What trials cost: "seconds", or a user attribute, without which one cost nothing;
            None: seconds.
    """
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    ended = sorted(trials, key=lambda t: (t.datetime_complete is None, t.datetime_complete))
    values = np.array([_value(trial) for trial in ended])
    # these two ignore NaN where there is another value, as pruned trials need it
    pick = np.fmax if study.direction == StudyDirection.MAXIMIZE else np.fmin
    seconds = [float(SAMPLER_SECONDS.read(t.user_attrs, 0.0)) for t in ended]
    best = best_trials(study, 1)
    busy = _busy_seconds(ended)
    if cost in (None, SECONDS):
        spent = busy
    else:
        spent = np.cumsum(np.nan_to_num([cost_of(trial, str(cost)) for trial in ended]))
    return Course(
        best=pick.accumulate(values),
        seconds=busy,
        sampler_seconds=sum(seconds),
        params=best[0].params if best else {},
        spent=spent,
    )


def _at_equal_cost(courses: Mapping[str, Sequence[Course]]) -> dict[str, list[float]]:
    """Return the best values at the cost that all samplers have spent, one for each seed."""
    least = np.min([[course.spent[-1] for course in each] for each in courses.values()], axis=0)
    return {
        label: [
            float(best_at([course], np.array([budget]))[0, 0])
            for course, budget in zip(each, least, strict=True)
        ]
        for label, each in courses.items()
    }


def best_at(courses: Sequence[Course], costs: Array) -> Array:
    """Return the best value of each course at each cost, (courses, costs); NaN before any."""
    rows = []
    for course in courses:
        n_ended = np.searchsorted(course.spent, costs, side="right")
        rows.append(np.concatenate([[np.nan], course.best])[n_ended])
    return np.stack(rows)


def _value(trial: FrozenTrial) -> float:
    if trial.state != TrialState.COMPLETE or trial.value is None or not is_feasible(trial):
        return math.nan
    return trial.value if math.isfinite(trial.value) else math.nan


def _busy_seconds(trials: Sequence[FrozenTrial]) -> Array:
    """Return for each trial the seconds up to its end in which at least one was running.

    Trials of a batch and of several workers overlap; their time must count once, and the pause
    between two runs of a study not at all.
    """
    spans = [
        (t.datetime_start.timestamp(), t.datetime_complete.timestamp())
        for t in trials
        if t.datetime_start is not None and t.datetime_complete is not None
    ]
    edges = np.unique(np.array(spans).reshape(-1))
    # Starts and ends cut time into stretches. A stretch is busy if more trials have started than
    # ended by its middle.
    middles = (edges[1:] + edges[:-1]) / 2
    starts, ends = np.sort([s for s, _ in spans]), np.sort([e for _, e in spans])
    running = np.searchsorted(starts, middles) > np.searchsorted(ends, middles)
    busy = np.concatenate([[0.0], np.cumsum(np.where(running, np.diff(edges), 0.0))])
    return busy[np.searchsorted(edges, [end for _, end in spans])]


def _evaluations_to_reach(best: Array, goal: float) -> int | None:
    reached = np.flatnonzero(best >= goal)
    return int(reached[0]) + 1 if len(reached) else None


def _mean_ranks(losses: Array) -> list[float]:
    """Return each row's mean rank over columns, (contenders, seeds) to (contenders,)."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata(losses, axis=0).mean(axis=1)]

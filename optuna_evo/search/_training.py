"""Train the trials of a batch side by side: report, prune, tell.

Divergence is decided here and nowhere else: a trial whose value is not finite gets the objective's
penalty, or is pruned where there is none, so that samplers learn from it. A trial that was taken
over from this worker leaves the batch without a word.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import enum
import math
import time
from typing import Any
from typing import TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import LOSS_CURVE
from optuna_evo.config import Config
from optuna_evo.search import _leases as leases
from optuna_evo.search._protocols import Inheritance
from optuna_evo.search._protocols import Listener
from optuna_evo.search._protocols import Objective
from optuna_evo.search._protocols import Run
from optuna_evo.search._signals import Signals


__all__ = ["Pace", "tell_diverged", "train"]

_C = TypeVar("_C", bound=Config)
_Member = tuple[optuna.Trial, list[float]]


class _Verdict(enum.Enum):
    GO_ON = enum.auto()
    ENOUGH = enum.auto()
    POOR = enum.auto()
    DIVERGED = enum.auto()
    TAKEN_OVER = enum.auto()


class Pace:
    """How long the way to a report takes, from the last one.

    Attributes:
        seconds: None before the first report.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None

    def left(self, n_reports: int) -> float | None:
        """Return the seconds that so many reports will take; None if that is not known."""
        return None if self.seconds is None else self.seconds * max(1, n_reports)


def train(
    study: optuna.Study,
    trials: Sequence[optuna.Trial],
    run: Run,
    objective: Objective[_C],
    listener: Listener | None,
    inheritance: Inheritance[_C] | None,
    signals: Signals,
    pace: Pace,
) -> int:
    """Train trials to their ends, and return how many this worker has told."""
    live = [(trial, list[float]()) for trial in trials]
    report = told = 0
    while live:
        report += 1
        with signals.training(pace.left(objective.n_reports - report + 1)):
            values = _values(run, len(live), pace)
        verdicts = _report(study, live, values, objective, report, listener)
        some_end = any(verdict is not _Verdict.GO_ON for verdict in verdicts)
        records = run.records() if some_end else [{}] * len(live)
        ends = zip(live, verdicts, records, strict=True)
        for place, (member, verdict, record) in enumerate(ends):
            if verdict is _Verdict.GO_ON:
                continue
            finished = _end(study, member, verdict, record, objective, run, place, inheritance)
            told += finished is not None
            if inheritance is not None:
                inheritance.clean_up()
            if listener is not None and finished is not None:
                listener.finished(finished)
        alive = [verdict is _Verdict.GO_ON for verdict in verdicts]
        run.drop(alive)
        live = [member for member, stays in zip(live, alive, strict=True) if stays]
    return told


def tell_diverged(
    study: optuna.Study,
    trial: optuna.Trial,
    record: Mapping[str, Any],
    objective: Objective[_C],
) -> FrozenTrial | None:
    """Tell a trial as one that diverged; None if it is not this worker's any more."""
    try:
        return _tell(study, trial, [], _Verdict.DIVERGED, record, objective)
    except UpdateFinishedTrialError:
        return None


def _values(run: Run, n_live: int, pace: Pace) -> Sequence[float] | None:
    """Go on to a report; None for trials that ask the pruner by themselves, and are pruned."""
    started = time.monotonic()
    try:
        return run.advance()
    except optuna.TrialPruned:
        return None
    finally:
        pace.seconds = time.monotonic() - started


def _report(
    study: optuna.Study,
    live: Sequence[_Member],
    values: Sequence[float] | None,
    objective: Objective[_C],
    report: int,
    listener: Listener | None,
) -> list[_Verdict]:
    """Report for all live members, the first report being 1, and decide on each."""
    if values is None:
        return [_Verdict.POOR] * len(live)
    is_ours = [True] * len(live)
    for k, ((trial, reported), value) in enumerate(zip(live, values, strict=True)):
        reported.append(value)
        if not objective.n_reports:
            continue
        try:
            trial.report(value, report)
        except UpdateFinishedTrialError:
            is_ours[k] = False
        if listener is not None:
            listener.reported(trial.number, report, objective.n_reports)
    # all have reported before the pruner decides on the first, so that a batch is treated alike
    last = report >= objective.n_reports
    return [
        _decide(study, trial, reported, last or _is_enough(objective, reported))
        if ours
        else _Verdict.TAKEN_OVER
        for (trial, reported), ours in zip(live, is_ours, strict=True)
    ]


def _is_enough(objective: Objective[_C], reported: Sequence[float]) -> bool:
    is_enough = getattr(objective, "is_enough", None)
    return bool(is_enough and is_enough(reported))


def _decide(
    study: optuna.Study, trial: optuna.Trial, reported: Sequence[float], last: bool
) -> _Verdict:
    if not math.isfinite(reported[-1]):
        return _Verdict.DIVERGED
    if last:
        return _Verdict.ENOUGH
    if not trial.should_prune():
        return _Verdict.GO_ON
    # a run that stopped because its loss is flat is finished, not poor
    is_flat = getattr(study.pruner, "is_flat", None)
    frozen = study._storage.get_trial(trial._trial_id)
    return _Verdict.ENOUGH if is_flat and is_flat(study, frozen) else _Verdict.POOR


def _end(
    study: optuna.Study,
    member: _Member,
    verdict: _Verdict,
    record: Mapping[str, Any],
    objective: Objective[_C],
    run: Run,
    place: int,
    inheritance: Inheritance[_C] | None,
) -> FrozenTrial | None:
    """Tell how a trial ended; None if it is not this worker's any more."""
    trial, reported = member
    if verdict is _Verdict.TAKEN_OVER:
        return None
    if inheritance is not None and verdict is _Verdict.ENOUGH:
        if leases.is_taken_over(study, trial):  # its copy needs what a checkpoint would replace
            return None
        inheritance.save(trial, run, place)
    try:
        return _tell(study, trial, reported, verdict, record, objective)
    except UpdateFinishedTrialError:
        return None


def _tell(
    study: optuna.Study,
    trial: optuna.Trial,
    reported: Sequence[float],
    verdict: _Verdict,
    record: Mapping[str, Any],
    objective: Objective[_C],
) -> FrozenTrial | None:
    for key, value in record.items():
        if key == LOSS_CURVE.key:
            study._storage.set_trial_system_attr(trial._trial_id, key, value)
        else:
            trial.set_user_attr(key, value)
    if verdict is _Verdict.POOR:
        return leases.finish(study, trial, state=TrialState.PRUNED)
    if verdict is _Verdict.DIVERGED:
        trial.set_user_attr(DIVERGED.key, True)
        if objective.penalty is None:
            return leases.finish(study, trial, state=TrialState.PRUNED)
        return leases.finish(study, trial, objective.penalty)
    value = objective.value(reported)
    if not math.isfinite(value):  # told as it is, NaN would fail the trial, and the next, for ever
        return _tell(study, trial, reported, _Verdict.DIVERGED, {}, objective)
    return leases.finish(study, trial, value)

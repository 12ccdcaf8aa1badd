"""The loop: ask, train, report, prune, tell.

A trial is a batch member: `batch_size` trials are asked and trained together, whether the trainer
takes them one after another or all at once. Divergence is decided here and nowhere else: a trial
whose value is not finite gets the objective's penalty, or is pruned where there is none, so that
samplers learn from it.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import enum
import math
import time
from typing import Any
from typing import TypeVar

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import OBJECTIVE
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.config import Config
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import UsageError
from optuna_evo.search import _leases as leases
from optuna_evo.search._memory import MemoryGuard
from optuna_evo.search._protocols import Inheritance
from optuna_evo.search._protocols import Listener
from optuna_evo.search._protocols import Objective
from optuna_evo.search._protocols import Run
from optuna_evo.search._reuse import Curves
from optuna_evo.search._reuse import SharingRun
from optuna_evo.search._storage import make_durable


__all__ = ["FINISHED", "search"]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_MAX_FAILURES_IN_A_ROW = 3
_A = TypeVar("_A")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=Config)


class _Verdict(enum.Enum):
    GO_ON = enum.auto()
    ENOUGH = enum.auto()
    POOR = enum.auto()
    DIVERGED = enum.auto()


def search(
    study: optuna.Study,
    *,
    space: Callable[[optuna.Trial], _C],
    objective: Objective[_C],
    n_trials: int,
    n_more: int | None = None,
    timeout: float | None = None,
    batch_size: int = 1,
    listener: Listener | None = None,
    inheritance: Inheritance[_C] | None = None,
) -> int:
    """Run trials until the study has `n_trials` finished ones.

    Trials of dead workers are taken up again first. An interrupted or failing batch gives nothing
    up: interrupted trials go back to the queue; a trial whose training raises fails with the
    reason among its user attributes, and the search goes on unless that happens three times in a
    row: then the last error is raised. A trial that runs out of memory gets the penalty, see
    `optuna_evo.search._memory`. What a trial of the study has trained already is not done
    again.

    Args:
        study: The study, with its sampler and pruner.
        space: Search space.
        objective: What to train and how it is valued.
        n_trials: Finished trials (complete or pruned) to end with, those of other workers counted.
        n_more: At most so many trials by this call; None: no limit.
        timeout: Seconds after which no new batch is begun; None: no limit.
        batch_size: Trials trained together.
        listener: Follows what happens.
        inheritance: Starts the trials and saves what they leave behind; None: the objective starts
            them, and nothing is left but values.

    Returns:
        The number of trials that this call finished.

    Raises:
        UsageError: If the objective's penalty is no finite number.
    """
    if objective.penalty is not None and not math.isfinite(objective.penalty):
        raise UsageError(
            f"The penalty of an objective must be a finite number, or None to prune diverged "
            f"trials; got {objective.penalty}."
        )
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    curves = Curves(study)
    guard = MemoryGuard[tuple[optuna.Trial, float]](
        run=lambda asked: _run_batch(
            study, asked, space, objective, curves, listener, inheritance
        ),
        is_open=lambda asked: _is_running(study, asked[0]),
        tell=lambda asked, reason: _end_without_memory(
            study, asked[0], reason, objective, listener, inheritance
        ),
    )
    done = failures = 0
    while time.monotonic() < deadline:
        leases.reclaim(study)
        room = n_trials - _count_taken(study)
        if n_more is not None:
            room = min(room, n_more - done)
        if room <= 0:
            break
        asked = [_timed(leases.ask, study) for _ in range(min(batch_size, room))]
        trials = [trial for trial, _ in asked]
        try:
            with leases.heartbeat(study, trials):
                done += guard.run(asked)
            make_durable(study)
            failures = 0
        except Exception as error:
            failures += 1
            _fail(study, trials, error)
            if failures == _MAX_FAILURES_IN_A_ROW:
                if isinstance(error, OptunaEvoError):
                    times = f"{failures} trials in a row failed; the last one: {error}"
                    raise type(error)(times) from error
                raise
        except BaseException:
            for trial in trials:
                leases.release(study, trial.number)
            raise
    return done


def _count_taken(study: optuna.Study) -> int:
    """Trials that are finished or being trained by others (this worker trains none just now)."""
    states = (*FINISHED, TrialState.RUNNING)
    return len(study.get_trials(deepcopy=False, states=states))


def _run_batch(
    study: optuna.Study,
    asked: Sequence[tuple[optuna.Trial, float]],
    space: Callable[[optuna.Trial], _C],
    objective: Objective[_C],
    curves: Curves,
    listener: Listener | None,
    inheritance: Inheritance[_C] | None,
) -> int:
    """Train the trials of each repetition together, to their ends."""
    repetitions: dict[int, list[tuple[optuna.Trial, _C]]] = {}
    identity = _fingerprint(objective)
    for trial, seconds in asked:
        config, more = _timed(space, trial)
        trial.set_user_attr(SAMPLER_SECONDS.key, round(seconds + more, 6))
        if fingerprint := config.fingerprint():
            trial.set_user_attr(FINGERPRINT.key, fingerprint)
        if identity is not None:
            trial.set_user_attr(OBJECTIVE.key, identity)
        repetition = int(REPETITION.read(trial.user_attrs, 0))
        repetitions.setdefault(repetition, []).append((trial, config))
    for repetition, members in repetitions.items():
        alike = [trial for trial, _ in members]
        for trial in alike:
            if listener is not None:
                listener.started(trial.number)
        if inheritance is None:
            run = _start(members, objective, curves, repetition)
        else:
            configs = [config for _, config in members]
            run = inheritance.start(alike, configs, repetition=repetition)
        _train(study, alike, run, objective, listener, inheritance)
    return len(asked)


def _timed(function: Callable[[_A], _R], argument: _A) -> tuple[_R, float]:
    """Return what the function returns, and the seconds that it took."""
    started = time.perf_counter()
    result = function(argument)
    return result, time.perf_counter() - started


def _start(
    members: Sequence[tuple[optuna.Trial, _C]],
    objective: Objective[_C],
    curves: Curves,
    repetition: int,
) -> Run:
    """Begin to train the members, or to replay what the study knows already."""
    identity = _fingerprint(objective)
    if identity is None:
        return objective.start([config for _, config in members], repetition=repetition)
    curves.update()
    known = [curves.find(config, identity, repetition) for _, config in members]
    numbered = [(trial.number, config) for trial, config in members]
    return SharingRun(numbered, known, objective, repetition)


def _fingerprint(objective: Objective[_C]) -> str | None:
    """Return what tells an objective from others; None if its trainings are not repeatable."""
    fingerprint = getattr(objective, "fingerprint", None)
    return None if fingerprint is None else str(fingerprint())


def _train(
    study: optuna.Study,
    trials: Sequence[optuna.Trial],
    run: Run,
    objective: Objective[_C],
    listener: Listener | None,
    inheritance: Inheritance[_C] | None,
) -> None:
    live = [(trial, list[float]()) for trial in trials]
    report = 0
    while live:
        report += 1
        verdicts = _advance(study, live, run, objective, report, listener)
        some_end = any(verdict is not _Verdict.GO_ON for verdict in verdicts)
        records = run.records() if some_end else [{}] * len(live)
        ends = zip(live, verdicts, records, strict=True)
        for place, ((trial, reported), verdict, record) in enumerate(ends):
            if inheritance is not None and verdict is _Verdict.ENOUGH:
                inheritance.save(trial, run, place)
            if verdict is not _Verdict.GO_ON:
                finished = _tell(study, trial, reported, verdict, record, objective)
                if inheritance is not None:
                    inheritance.clean_up()
                if listener is not None:
                    listener.finished(finished)
        alive = [verdict is _Verdict.GO_ON for verdict in verdicts]
        run.drop(alive)
        live = [member for member, stays in zip(live, alive, strict=True) if stays]


def _advance(
    study: optuna.Study,
    live: Sequence[tuple[optuna.Trial, list[float]]],
    run: Run,
    objective: Objective[_C],
    report: int,
    listener: Listener | None,
) -> list[_Verdict]:
    """Go on to a report, the first being 1, and decide on each live member."""
    try:
        values = run.advance()
    except optuna.TrialPruned:  # a trial that asks the pruner by itself
        return [_Verdict.POOR] * len(live)
    for (trial, reported), value in zip(live, values, strict=True):
        reported.append(value)
        if objective.n_reports:
            trial.report(value, report)
        if objective.n_reports and listener is not None:
            listener.reported(trial.number, report, objective.n_reports)
    # all have reported before the pruner decides on the first, so that a batch is treated alike
    last = report >= objective.n_reports
    return [
        _decide(study, trial, reported, last or _is_enough(objective, reported))
        for trial, reported in live
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


def _tell(
    study: optuna.Study,
    trial: optuna.Trial,
    reported: Sequence[float],
    verdict: _Verdict,
    record: Mapping[str, Any],
    objective: Objective[_C],
) -> FrozenTrial:
    for key, value in record.items():
        trial.set_user_attr(key, value)
    if verdict is _Verdict.POOR:
        return study.tell(trial, state=TrialState.PRUNED)
    if verdict is _Verdict.DIVERGED:
        trial.set_user_attr(DIVERGED.key, True)
        if objective.penalty is None:
            return study.tell(trial, state=TrialState.PRUNED)
        return study.tell(trial, objective.penalty)
    value = objective.value(reported)
    if not math.isfinite(value):  # told as it is, NaN would fail the trial, and the next, for ever
        return _tell(study, trial, reported, _Verdict.DIVERGED, {}, objective)
    return study.tell(trial, value)


def _is_running(study: optuna.Study, trial: optuna.Trial) -> bool:
    return study._storage.get_trial(trial._trial_id).state == TrialState.RUNNING


def _end_without_memory(
    study: optuna.Study,
    trial: optuna.Trial,
    reason: str,
    objective: Objective[_C],
    listener: Listener | None,
    inheritance: Inheritance[_C] | None,
) -> None:
    """Tell a trial that does not fit into memory as one that diverged, with the reason on it."""
    record = {ERROR.key: reason[:1000]}
    finished = _tell(study, trial, [], _Verdict.DIVERGED, record, objective)
    if inheritance is not None:
        inheritance.clean_up()
    if listener is not None:
        listener.finished(finished)


def _fail(study: optuna.Study, trials: Sequence[optuna.Trial], error: Exception) -> None:
    """Fail the trials of a batch that have not finished yet, with the reason on each."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    unfinished = {trial.number for trial in running}
    # our own errors are sentences; of others the type says half
    reason = (
        str(error) if isinstance(error, OptunaEvoError) else f"{type(error).__name__}: {error}"
    )
    for trial in trials:
        if trial.number in unfinished:
            trial.set_user_attr(ERROR.key, reason[:1000])
            study.tell(trial, state=TrialState.FAIL)

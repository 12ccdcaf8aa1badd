"""The loop: ask, train, report, prune, tell.

A trial is a batch member: `batch_size` trials are asked and trained together, whether the trainer
takes them one after another or all at once. Divergence is decided here and nowhere else: a trial
whose value is not finite is told the objective's penalty, so that samplers learn from it.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import enum
import math
import time
from typing import Any
from typing import Protocol
from typing import TypeVar

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.config import Config
from optuna_evo.search import _leases as leases
from optuna_evo.search._reuse import Curves
from optuna_evo.search._reuse import FINGERPRINT_KEY
from optuna_evo.search._reuse import OBJECTIVE_KEY
from optuna_evo.search._reuse import REPETITION_KEY
from optuna_evo.search._reuse import SAMPLER_SECONDS_KEY
from optuna_evo.search._reuse import SharingRun
from optuna_evo.search._storage import make_durable


__all__ = ["FINISHED", "Keeper", "Listener", "Objective", "Run", "search"]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_MAX_FAILURES_IN_A_ROW = 3
_A = TypeVar("_A")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=Config)
_C_contra = TypeVar("_C_contra", bound=Config, contravariant=True)


class Run(Protocol):
    """Training of the members of a batch, side by side."""

    @property
    def step(self) -> int:
        """Report steps done so far."""

    def advance(self, n_steps: int) -> Sequence[float]:
        """Go on by `n_steps` and return one value for each live member, NaN for a diverged one."""

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""

    def records(self) -> Sequence[Mapping[str, Any]]:
        """Return what is worth keeping of each live member, as user attributes."""


class Objective(Protocol[_C_contra]):
    """What turns training into the value of a trial.

    An objective whose trainings are a pure function of configuration and repetition says so by a
    method `fingerprint() -> str`, the same text for objectives that train and value alike. Then
    nothing is trained twice: see `optuna_evo.search._reuse`.
    One whose trials may be complete before their last step says so by a method
    `is_enough(reported: Sequence[float]) -> bool`.
    """

    @property
    def n_steps(self) -> int:
        """Report steps of a whole trial."""

    @property
    def report_every(self) -> int:
        """Steps between two reports."""

    @property
    def penalty(self) -> float:
        """What a diverged trial is told."""

    def start(self, configs: Sequence[_C_contra], *, repetition: int) -> Run:
        """Begin to train; another `repetition` uses other seeds."""

    def value(self, reported: Sequence[float]) -> float:
        """Return the value of a trial from all it reported."""


class Keeper(Protocol[_C_contra]):
    """What lets trials go on from what earlier trials left behind, such as their weights."""

    def start(
        self, trials: Sequence[optuna.Trial], configs: Sequence[_C_contra], *, repetition: int
    ) -> Run:
        """Begin to train the trials, in place of `Objective.start`."""

    def keep(self, trial: optuna.Trial, run: Run, place: int) -> None:
        """Make safe what the live member at `place` leaves behind; it is told complete next."""

    def told(self) -> None:
        """Clear away what nobody needs now that a trial was told."""


class Listener(Protocol):
    """What is told while a search goes on."""

    def reported(self, trial_number: int, step: int, n_steps: int) -> None:
        """Take note that a trial reported its value at `step`."""

    def finished(self, trial: FrozenTrial) -> None:
        """Take note that a trial was told."""


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
    keeper: Keeper[_C] | None = None,
) -> int:
    """Run trials until the study has `n_trials` finished ones.

    Trials of dead workers are taken up again first. An interrupted or failing batch gives nothing
    up: interrupted trials go back to the queue; a trial whose training raises fails with the
    reason in its user attribute `error`, and the search goes on unless that happens three times
    in a row. What a trial of the study has trained already is not trained again (`reuse`).

    Args:
        study: The study, with its sampler and pruner.
        space: Search space.
        objective: What to train and how it is valued.
        n_trials: Finished trials (complete or pruned) to end with, those of other workers counted.
        n_more: At most so many trials by this call; None: no limit.
        timeout: Seconds after which no new batch is begun; None: no limit.
        batch_size: Trials trained together.
        listener: Is told of reports and finished trials.
        keeper: Starts the trials and keeps what they leave behind; None: the objective starts them
            and nothing is kept but values.

    Returns:
        The number of trials that this call finished.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    curves = Curves(study)
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
                done += _run_batch(study, asked, space, objective, curves, listener, keeper)
            make_durable(study)
            failures = 0
        except Exception as error:
            failures += 1
            _fail(study, trials, error)
            if failures == _MAX_FAILURES_IN_A_ROW:
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
    keeper: Keeper[_C] | None,
) -> int:
    """Train the trials of each repetition together and tell them all."""
    repetitions: dict[int, list[tuple[optuna.Trial, _C]]] = {}
    identity = _fingerprint(objective)
    for trial, seconds in asked:
        config, more = _timed(space, trial)
        trial.set_user_attr(SAMPLER_SECONDS_KEY, round(seconds + more, 6))
        trial.set_user_attr(FINGERPRINT_KEY, config.fingerprint())
        if identity is not None:
            trial.set_user_attr(OBJECTIVE_KEY, identity)
        repetition = int(trial.user_attrs.get(REPETITION_KEY, 0))
        repetitions.setdefault(repetition, []).append((trial, config))
    for repetition, members in repetitions.items():
        alike = [trial for trial, _ in members]
        if keeper is None:
            run = _start(members, objective, curves, repetition)
        else:
            run = keeper.start(alike, [config for _, config in members], repetition=repetition)
        _train(study, alike, run, objective, listener, keeper)
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
    curves.look()
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
    keeper: Keeper[_C] | None,
) -> None:
    live = [(trial, list[float]()) for trial in trials]
    while live:
        values = run.advance(objective.report_every)
        for (trial, reported), value in zip(live, values, strict=True):
            reported.append(value)
            trial.report(value, run.step)
            if listener is not None:
                listener.reported(trial.number, run.step, objective.n_steps)
        # all have reported before the first is judged, so that a batch is judged alike
        last = run.step >= objective.n_steps
        verdicts = [
            _judge(study, trial, reported, last or _is_enough(objective, reported))
            for trial, reported in live
        ]
        some_end = any(verdict is not _Verdict.GO_ON for verdict in verdicts)
        records = run.records() if some_end else [{}] * len(live)
        ends = zip(live, verdicts, records, strict=True)
        for place, ((trial, reported), verdict, record) in enumerate(ends):
            if keeper is not None and verdict is _Verdict.ENOUGH:
                keeper.keep(trial, run, place)
            if verdict is not _Verdict.GO_ON:
                told = _tell(study, trial, reported, verdict, record, objective)
                if keeper is not None:
                    keeper.told()
                if listener is not None:
                    listener.finished(told)
        alive = [verdict is _Verdict.GO_ON for verdict in verdicts]
        run.keep(alive)
        live = [member for member, stays in zip(live, alive, strict=True) if stays]


def _is_enough(objective: Objective[_C], reported: Sequence[float]) -> bool:
    is_enough = getattr(objective, "is_enough", None)
    return bool(is_enough and is_enough(reported))


def _judge(
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
        trial.set_user_attr("diverged", True)
        return study.tell(trial, objective.penalty)
    return study.tell(trial, objective.value(reported))


def _fail(study: optuna.Study, trials: Sequence[optuna.Trial], error: Exception) -> None:
    """Fail what the batch has not told yet, with the reason on each trial."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    untold = {trial.number for trial in running}
    for trial in trials:
        if trial.number in untold:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:1000])
            study.tell(trial, state=TrialState.FAIL)

"""The loop: ask, train, report, prune, tell.

A trial is a batch member: `batch_size` trials are asked and trained together, whether the trainer
takes them one after another or all at once. Who may train which trial is decided in `_leases`, how
a batch is trained in `_training`.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import logging
import math
import time
from typing import Generic
from typing import TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import OBJECTIVE
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.config import Config
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.search import _leases as leases
from optuna_evo.search._failures import failure_attributes
from optuna_evo.search._memory import MemoryGuard
from optuna_evo.search._protocols import Inheritance
from optuna_evo.search._protocols import Listener
from optuna_evo.search._protocols import Objective
from optuna_evo.search._protocols import Run
from optuna_evo.search._reuse import Curves
from optuna_evo.search._reuse import SharingRun
from optuna_evo.search._signals import Signals
from optuna_evo.search._signals import Stopped
from optuna_evo.search._storage import make_durable
from optuna_evo.search._training import Pace
from optuna_evo.search._training import tell_diverged
from optuna_evo.search._training import train


__all__ = ["FINISHED", "search"]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_MAX_FAILURES_IN_A_ROW = 3
_LOOK_AGAIN_S = 1.0
_A = TypeVar("_A")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=Config)
_Asked = tuple[optuna.Trial, float]
_logger = logging.getLogger(__name__)


@dataclass
class _Batch:
    """Trials of this worker, and what each took to ask for, in seconds."""

    ids: list[int] = field(default_factory=list)
    trials: list[optuna.Trial] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def asked(self) -> list[_Asked]:
        """The trials, each with its seconds."""
        return [*zip(self.trials, self.seconds, strict=True)]


@dataclass
class _Search(Generic[_C]):
    """What stays the same from batch to batch; the arguments of `search`."""

    study: optuna.Study
    space: Callable[[optuna.Trial], _C]
    objective: Objective[_C]
    listener: Listener | None
    inheritance: Inheritance[_C] | None
    curves: Curves
    signals: Signals
    pace: Pace = field(default_factory=Pace)


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

    Trials of dead workers are taken up again first. An interrupted batch gives nothing up: Ctrl-C
    finishes trials that end within seconds, a second one ends at once, and SIGTERM ends the
    training; trials without a result go back to the queue, as they do when the database fails.
    A trial whose training raises fails with the reason among its user attributes, and the search
    goes on unless that happens three times in a row: then the last error is raised. A trial that
    runs out of memory gets the penalty, see `optuna_evo.search._memory`. What a trial of the study
    has trained already is not done again.

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
        KeyboardInterrupt: After Ctrl-C, saying what became of the trials.
        SystemExit: After SIGTERM.
    """
    if objective.penalty is not None and not math.isfinite(objective.penalty):
        raise UsageError(
            f"The penalty of an objective must be a finite number, or None to prune diverged "
            f"trials; got {objective.penalty}."
        )
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    done = failures = 0
    with Signals() as signals:
        parts = _Search(study, space, objective, listener, inheritance, Curves(study), signals)
        guard = MemoryGuard[_Asked](
            run=lambda asked: _run_batch(parts, asked),
            is_open=lambda asked: _is_running(study, asked[0]),
            tell=lambda asked, reason: _end_without_memory(parts, asked[0], reason),
        )
        searched = durable = -math.inf
        while (now := time.monotonic()) < deadline:
            thorough = now - searched > _LOOK_AGAIN_S
            seen = leases.look(study, thorough=thorough)
            room = n_trials - _count_taken(seen)
            if room <= 0 and not thorough:  # before the end, look everywhere
                searched = -math.inf
                continue
            searched = now if thorough else searched
            if room <= 0 and _waits_for_the_dead(study):
                continue
            room = room if n_more is None else min(room, n_more - done)
            batch = _Batch()
            try:
                _ask(study, batch, min(batch_size, room), n_trials, seen)
                if not batch.trials:
                    break
                with leases.heartbeat(study, batch.trials, asked_s=sum(batch.seconds)):
                    done += guard.run(batch.asked)
                now = time.monotonic()
                if now - durable > _LOOK_AGAIN_S or room <= len(batch.ids):
                    make_durable(study)  # waits for the disk: not after each of many short ones
                    durable = now
                failures = 0
            except UpdateFinishedTrialError:  # taken over while the objective reported by itself
                _give_back(study, batch)
            except (StorageInternalError, StorageError):
                _give_back(study, batch)
                raise
            except Stopped:
                _say_and_end(signals, _give_back(study, batch))
            except Exception as error:
                failures += 1
                _fail(study, batch, error)
                if failures == _MAX_FAILURES_IN_A_ROW:
                    if isinstance(error, OptunaEvoError):
                        times = f"{failures} trials in a row failed; the last one: {error}"
                        raise type(error)(times) from error
                    raise
            except BaseException:
                if signals.at_once:
                    leases.leave(study, batch.ids)
                else:
                    _give_back(study, batch)
                raise
            _say_and_end(signals, 0)
    return done


def _ask(
    study: optuna.Study, batch: _Batch, n: int, n_trials: int, seen: Sequence[FrozenTrial]
) -> None:
    """Ask for up to n trials; fewer when other workers have taken what was left."""
    for k in range(n):
        started = time.perf_counter()
        trial_id = leases.claim(study, n_trials, seen=None if k else seen)
        if trial_id is None:
            return
        batch.ids.append(trial_id)
        batch.trials.append(leases.begin(study, trial_id))
        batch.seconds.append(time.perf_counter() - started)


def _count_taken(trials: Sequence[FrozenTrial]) -> int:
    """Trials that are finished or being trained by others (this worker trains none just now)."""
    states = (*FINISHED, TrialState.RUNNING)
    return sum(trial.state in states for trial in trials)


def _waits_for_the_dead(study: optuna.Study) -> bool:
    """Let time pass if trials are left that nobody trains, and nobody has taken up yet."""
    if not leases.has_orphans(study):
        return False
    time.sleep(_LOOK_AGAIN_S)
    return True


def _run_batch(parts: _Search[_C], asked: Sequence[_Asked]) -> int:
    """Train the trials of each repetition together, to their ends; return how many were told."""
    repetitions: dict[int, list[tuple[optuna.Trial, _C]]] = {}
    objective = parts.objective
    identity = _fingerprint(objective)
    for trial, seconds in asked:
        config, more = _timed(parts.space, trial)
        trial.set_user_attr(SAMPLER_SECONDS.key, round(seconds + more, 6))
        if fingerprint := config.fingerprint():
            trial.set_user_attr(FINGERPRINT.key, fingerprint)
        if identity is not None:
            trial.set_user_attr(OBJECTIVE.key, identity)
        repetition = int(REPETITION.read(trial.user_attrs, 0))
        repetitions.setdefault(repetition, []).append((trial, config))
    told = 0
    for repetition, members in repetitions.items():
        alike = [trial for trial, _ in members]
        for trial in alike:
            if parts.listener is not None:
                parts.listener.started(trial.number)
        if parts.inheritance is None:
            run = _start(members, objective, parts.curves, repetition)
        else:
            configs = [config for _, config in members]
            run = parts.inheritance.start(alike, configs, repetition=repetition)
        told += train(
            parts.study,
            alike,
            run,
            objective,
            parts.listener,
            parts.inheritance,
            parts.signals,
            parts.pace,
        )
    return told


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


def _give_back(study: optuna.Study, batch: _Batch) -> int:
    """Give back the trials of a batch that have not ended, and return how many.

    What cannot be given back, since the database fails, is reclaimed later, by whoever comes.
    """
    n = 0
    for trial_id in batch.ids:
        try:
            n += leases.give_back(study, trial_id)
        except Exception as error:
            _logger.warning("A trial could not be given back yet (%s).", error)
    return n


def _say_and_end(signals: Signals, n_given_back: int) -> None:
    back = f"{n_given_back} went back to the queue" if n_given_back else "none was being trained"
    what = f"What was finished is stored, trials without a result: {back}."
    signals.raise_if_asked(f"Stopped. {what} The same command goes on.")


def _is_running(study: optuna.Study, trial: optuna.Trial) -> bool:
    return study._storage.get_trial(trial._trial_id).state == TrialState.RUNNING


def _end_without_memory(parts: _Search[_C], trial: optuna.Trial, reason: str) -> int:
    """Tell a trial that does not fit into memory as one that diverged, with the reason on it."""
    record = {ERROR.key: reason[:1000]}
    finished = tell_diverged(parts.study, trial, record, parts.objective)
    if parts.inheritance is not None:
        parts.inheritance.clean_up()
    if parts.listener is not None and finished is not None:
        parts.listener.finished(finished)
    return int(finished is not None)


def _fail(study: optuna.Study, batch: _Batch, error: Exception) -> None:
    """Fail the trials of a batch that have not finished yet, with the reason on each."""
    attributes = failure_attributes(error)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    unfinished = {trial.number for trial in running}
    for trial in batch.trials:
        if trial.number in unfinished:
            leases.fail(study, trial, attributes)
    _give_back(study, batch)  # asked for, but not begun

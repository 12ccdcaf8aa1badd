"""A plain objective of Optuna, `f(trial) -> float`, as what a search drives.

The function suggests, trains, reports and asks the pruner by itself, as it does in
`study.optimize`. So its configuration is the trial itself, and its run is one call.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import inspect
from typing import Any
from typing import TYPE_CHECKING
import zlib

import numpy as np

from optuna_evo.errors import ObjectiveError
from optuna_evo.errors import StorageError
from optuna_evo.objectives._global_seed import global_generators_seeded
from optuna_evo.plugins import last_line_in


if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["FunctionObjective", "OpenTrial"]


@dataclass(frozen=True)
class OpenTrial:
    """A trial whose parameters are suggested while it runs."""

    trial: "BaseTrial"

    def fingerprint(self) -> str:
        """Return nothing: what it will train is not known yet."""
        return ""


class FunctionObjective:
    """The number that a function returns.

    A trial for which it raises `TrialPruned` is pruned; so is one whose value is not finite, as
    there is no penalty that fits every function. The global generators of Python, numpy and torch
    are seeded for each trial, by how many trials before it have not failed: a retried trial and a
    study that was stopped draw what an uninterrupted one does.

    Args:
        function: Takes a trial and returns a number.
        name: What it is called in messages; None: by its own name.
        file: The file it comes from, whose lines messages name; None: where Python says.
        seed: Seed of the global generators, >= 0.

    Example:
        >>> def objective(trial):
        ...     x = trial.suggest_float("x", -10, 10)
        ...     return (x - 2) ** 2
        >>> search(study, space=OpenTrial, objective=FunctionObjective(objective), n_trials=20)
    """

    n_reports = 0
    penalty = None

    def __init__(
        self,
        function: "Callable[[Any], float]",
        *,
        name: str | None = None,
        file: str | None = None,
        seed: int = 0,
    ) -> None:
        self._seed = seed
        self._function = function
        shown_file, _, shown_name = (name or "").rpartition(":")
        self._name = shown_name or getattr(function, "__name__", type(function).__name__)
        called = function if inspect.isroutine(function) else type(function).__call__
        code = getattr(inspect.unwrap(called), "__code__", None)
        self._file = file or str(getattr(code, "co_filename", "<unknown>"))
        self._shown_file = shown_file or self._file
        self._first_line = getattr(code, "co_firstlineno", None)

    def start(self, configs: Sequence[OpenTrial], *, repetition: int = 0) -> "FunctionRun":
        """Begin a trial; a function knows no repetitions but by the trial's attributes."""
        return FunctionRun([config.trial for config in configs], self.call)

    def value(self, reported: Sequence[float]) -> float:
        """Return what the function returned."""
        return reported[-1]

    def call(self, trial: "BaseTrial") -> float:
        """Call the function.

        Raises:
            TrialPruned: If the function does.
            StorageError: If the database fails while it reports: that is not its fault.
            UpdateFinishedTrialError: If the trial was taken over meanwhile.
            ObjectiveError: If it raises anything else, or does not return a number.
        """
        from optuna import TrialPruned
        from optuna.exceptions import StorageInternalError

        try:
            with global_generators_seeded(_stream(trial, self._seed)):
                returned: Any = self._function(trial)
        except (TrialPruned, StorageError, StorageInternalError):
            raise
        except Exception as error:
            if _was_taken_over(trial, error):
                raise
            line = last_line_in(self._file, error.__traceback__)
            raise ObjectiveError(f"{self._at(line)}: {_explained(error)}") from error
        if isinstance(returned, tuple | list):
            raise ObjectiveError(
                f"{self._at(self._first_line)}: {self._name} returned {len(returned)} values; "
                "studies here have one direction: return one number."
            )
        try:
            if isinstance(returned, str | bytes) or returned is None:
                raise TypeError
            return float(returned)
        except (TypeError, ValueError) as error:
            hint = " (is a `return` missing?)" if returned is None else ""
            raise ObjectiveError(
                f"{self._at(self._first_line)}: {self._name} returned {returned!r:.60}{hint}; "
                "return a number."
            ) from error

    def _at(self, line: int | None) -> str:
        return self._shown_file if line is None else f"{self._shown_file}, line {line}"


class FunctionRun:
    """Trials of a function; usually one, since it runs them one after another."""

    def __init__(
        self, trials: "Sequence[BaseTrial]", call: "Callable[[BaseTrial], float]"
    ) -> None:
        self._trials = list(trials)
        self._call = call

    def advance(self) -> list[float]:
        """Run each trial to its end and return its value."""
        return [self._call(trial) for trial in self._trials]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the trials that are not `alive`."""
        self._trials = [t for t, stays in zip(self._trials, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return nothing: the function writes its own attributes."""
        return [{} for _ in self._trials]


def _stream(trial: "BaseTrial", seed: int) -> np.random.SeedSequence:
    """Return the stream of a trial; that of the first one where it belongs to no study."""
    from optuna.trial import TrialState

    study = getattr(trial, "study", None)
    if study is None:
        return np.random.SeedSequence([seed])
    # what the sampler has read for this trial is read once
    earlier = study._get_trials(deepcopy=False, use_cache=True)[: trial.number]
    n_before = sum(t.state != TrialState.FAIL for t in earlier)
    return np.random.SeedSequence([seed, zlib.crc32(study.study_name.encode()), n_before])


def _was_taken_over(trial: "BaseTrial", error: Exception) -> bool:
    """Whether an error says that this very trial has ended, and not one of the function's own."""
    from optuna.exceptions import UpdateFinishedTrialError

    study = getattr(trial, "study", None)
    if study is None or not isinstance(error, UpdateFinishedTrialError):
        return False
    return bool(study._storage.get_trial(trial._trial_id).state.is_finished())  # type: ignore[attr-defined]


def _explained(error: Exception) -> str:
    """Return type and message of an error; with what to do about the usual mistake."""
    text = f"{type(error).__name__}: {error}".strip().rstrip(".:")
    if "distribution kind" in text or "dynamic value space" in text:
        return (
            f"{text}: a name stands for one kind of parameter in a whole study; give the other "
            "one another name."
        )
    return text

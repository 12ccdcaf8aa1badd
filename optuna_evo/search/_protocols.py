"""What a search drives, and what listens to it."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import TYPE_CHECKING
from typing import TypeVar

from optuna_evo.config import Config


if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

__all__ = ["Inheritance", "Listener", "Objective", "Run"]

_C_contra = TypeVar("_C_contra", bound=Config, contravariant=True)


class Run(Protocol):
    """The trials of a batch on their way, side by side."""

    def advance(self) -> Sequence[float]:
        """Go on to the next report and return one value for each live member, NaN if it diverged.

        A run may raise `optuna.TrialPruned`: then its live members are pruned.
        """

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""

    def records(self) -> Sequence[Mapping[str, Any]]:
        """Return what is worth knowing of each live member, as user attributes."""


class Objective(Protocol[_C_contra]):
    """What turns configurations into values of trials.

    Two methods are optional. `fingerprint() -> str` says that trainings are a pure function of
    configuration and repetition, by the same text for objectives that train and value alike: then
    nothing is trained twice (see `optuna_evo.search._reuse`). `is_enough(reported) -> bool` tells
    whether a trial that reported these values is complete before its last report. Two more serve
    studies: `describe() -> {name: number}` says what is known of the task before training, and
    `test(config) -> {metric: value}` is the final measurement, the first metric being its own.

    Example:
        >>> class Run:
        ...     def __init__(self, configs):
        ...         self.configs, self.n = list(configs), 0
        ...
        ...     def advance(self):
        ...         self.n += 1
        ...         return [score(config, self.n) for config in self.configs]
        ...
        ...     def drop(self, alive):
        ...         self.configs = list(itertools.compress(self.configs, alive))
        ...
        ...     def records(self):
        ...         return [{} for _ in self.configs]
        >>> class Score:
        ...     n_reports, penalty = 10, -1.0
        ...
        ...     def start(self, configs, *, repetition):
        ...         return Run(configs)
        ...
        ...     def value(self, reported):
        ...         return reported[-1]
    """

    @property
    def n_reports(self) -> int:
        """Number of reports of a whole trial.

        0: the trial reports by itself, and the first `advance` returns its value.
        """

    @property
    def penalty(self) -> float | None:
        """Value of a trial that diverged; None: such a trial is pruned."""

    def start(self, configs: Sequence[_C_contra], *, repetition: int) -> Run:
        """Begin the trials of a batch; another `repetition` uses other seeds."""

    def value(self, reported: Sequence[float]) -> float:
        """Return the value of a trial from all its reports."""


class Inheritance(Protocol[_C_contra]):
    """What lets trials go on from what earlier trials left behind, such as their weights."""

    def start(
        self,
        trials: Sequence["optuna.Trial"],
        configs: Sequence[_C_contra],
        *,
        repetition: int,
    ) -> Run:
        """Begin the trials of a batch, in place of `Objective.start`."""

    def save(self, trial: "optuna.Trial", run: Run, place: int) -> None:
        """Make safe what the live member at `place` leaves behind; it is complete next."""

    def clean_up(self) -> None:
        """Remove what is no longer needed after a trial has finished."""


class Listener(Protocol):
    """What follows a search while it goes on, such as a progress bar."""

    def started(self, trial_number: int) -> None:
        """Handle that a trial begins."""

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Handle a report of a trial, counted from 1."""

    def finished(self, trial: "FrozenTrial") -> None:
        """Handle that a trial is complete or pruned."""

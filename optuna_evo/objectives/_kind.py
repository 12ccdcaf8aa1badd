"""A kind of objective: all that a study has to know of it before, during and after its trials."""

import abc
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import NamedTuple

from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.spec import StudySpec


__all__ = ["check_direction", "FinalResult", "ObjectiveKind"]


class FinalResult(NamedTuple):
    """What the final training of the best configuration came to, on test data.

    `metric` is what the study optimized, NaN if the training diverged; `metrics` are all that were
    measured, empty if there is but that one; `train_metrics` are those of training rows, by epoch.
    """

    metric: float
    metrics: Mapping[str, float] = {}
    train_metrics: Sequence[float] = ()


class ObjectiveKind(abc.ABC):
    """One kind of objective; the methods say how most kinds do it.

    A kind needs neither torch nor Optuna until it builds: a study is shown without them. To add
    one, write a subclass in a file of `optuna_evo/objectives/_kinds` and name it in `OBJECTIVES`.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()
    """What it takes of the tables of a spec: dotted keys, and "float16" as a precision.

    What a spec sets and the kind does not take is refused: nothing is accepted and ignored.
    """
    n_tasks: ClassVar[tuple[int, int | None]] = (1, 1)
    """The least and the largest number of tasks; None: no limit."""
    has_lineages: ClassVar[bool] = False
    """Whether trials go on from the checkpoints of others, so that a study keeps checkpoints."""
    compares_optimizers: ClassVar[bool] = False
    """Whether a finished study ends with the comparison with classic optimizers."""

    trains_controllers: ClassVar[bool] = False
    """Whether trials meta-train controllers, which a study exports."""

    def takes_of(self, spec: StudySpec) -> frozenset[str]:
        """Return what it takes of one spec, where some keys go with others only."""
        return self.takes

    def resolve(self, spec: StudySpec) -> StudySpec:
        """Fill in what the kind alone knows; done once, before a study is made.

        Raises:
            SpecError: If the spec says otherwise.
        """
        return spec

    def check(self, spec: StudySpec) -> None:
        """Check what can be said from the spec alone.

        Raises:
            SpecError: If the spec does not fit the kind.
        """
        least, most = self.n_tasks
        if len(spec.tasks) < least:
            raise SpecError('`tasks` must name at least one task, such as tasks = ["digits"].')
        if most is not None and len(spec.tasks) > most:
            raise SpecError(
                f"The objective {spec.objective.name!r} trains on one task, got "
                f'{len(spec.tasks)}: name one, or use objective.name = "fitness".'
            )

    def check_config(self, spec: StudySpec, config: Any) -> None:  # noqa: B027
        """Check what the search space makes of a trial.

        Raises:
            SpecError: If the objective cannot use it.
        """

    def check_use(self, spec: StudySpec, config: Any) -> None:  # noqa: B027
        """Check that all of what the search space makes of a trial is used, for a new study.

        Raises:
            SpecError: If something would be ignored, or would end the trial.
        """

    def check_data(self, spec: StudySpec) -> None:  # noqa: B027
        """Check what needs the tasks or tables themselves, such as the direction of the metric.

        Raises:
            SpecError: If the spec does not fit them.
        """

    def model_arguments(self, spec: StudySpec) -> frozenset[str] | None:
        """Return what the models that it trains are built with; None: whatever the space says."""
        return None

    def own_space(self, spec: StudySpec) -> Callable[[Any], Any] | None:
        """Return the search space where it is a part of the objective; None: the spec's.

        The parameters of such a space are not known before trials have run.
        """
        return None

    @abc.abstractmethod
    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> Any:
        """Build the objective (a `search.Objective`)."""

    def describe(self, objective: Any) -> Mapping[str, float]:
        """Return the meta-features of what it trains on; empty if nothing is known."""
        return {}

    def has_final(self, spec: StudySpec) -> bool:
        """Tell whether a finished study ends with a final training."""
        return False

    def final(self, spec: StudySpec, objective: Any, config: Any) -> FinalResult:
        """Train the best configuration finally and measure it on test data, once.

        Raises:
            UsageError: If there is no such thing for this kind.
        """
        raise UsageError(
            f"A final training goes with objectives that know test data, such as "
            f'"accuracy" or "table"; got {spec.objective.name!r}.'
        )


def check_direction(spec: StudySpec, metric: str, higher_is_better: bool) -> None:
    """Raise if a metric is optimized in the wrong direction."""
    wanted = "maximize" if higher_is_better else "minimize"
    if spec.direction != wanted:
        raise SpecError(f'The metric {metric} goes with direction = "{wanted}".')

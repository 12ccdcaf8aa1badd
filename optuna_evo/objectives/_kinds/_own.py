"""A user's own: an object with the methods of an objective, or a plain function of Optuna."""

from collections.abc import Callable
import dataclasses
import inspect
from pathlib import Path
from typing import Any

from optuna_evo.errors import PluginError
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.objectives._function import FunctionObjective
from optuna_evo.objectives._function import OpenTrial
from optuna_evo.objectives._kind import FinalResult
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.plugins import load_attribute
from optuna_evo.plugins import load_module
from optuna_evo.plugins import split_path
from optuna_evo.spec import Part
from optuna_evo.spec import shown
from optuna_evo.spec import StudySpec


_METHODS = ("start", "value", "n_reports", "penalty")
_DEFAULT_SPACE = Part(name="genome")


class OwnKind(ObjectiveKind):
    """An own objective, named by module or file and attribute.

    A function suggests its parameters itself: it is its own search space, and a resolved spec says
    so by the name of the space. So whoever looks at a study later need not load it.
    """

    name = "own"
    takes = frozenset({"final.epochs"})
    n_tasks = (0, None)

    def resolve(self, spec: StudySpec) -> StudySpec:
        """Load it; a function takes the place of the space."""
        found = _load(spec.objective.name)
        if not callable(found) or _is_objective(found):
            return spec
        if spec.space not in (_DEFAULT_SPACE, Part(name=spec.objective.name)):
            raise SpecError(
                f"The objective {spec.objective.name!r} suggests its parameters itself: leave "
                f"out `space`, got {spec.space.name!r}."
            )
        return dataclasses.replace(spec, space=Part(name=spec.objective.name))

    def check(self, spec: StudySpec) -> None:
        """Refuse what a function has no use for."""
        super().check(spec)
        if spec.task:
            raise SpecError(
                f"The objective {spec.objective.name!r} makes its own tasks: leave out `task`."
            )
        if not _is_own_space(spec):
            if spec.tasks:
                raise SpecError(
                    f"The objective {spec.objective.name!r} trains what it trains and sees no "
                    f"tasks, got {', '.join(spec.tasks)}: leave out `tasks`."
                )
            return
        if spec.tasks:
            raise SpecError(
                f"The objective {spec.objective.name!r} is a function of a trial and takes no "
                f"tasks, got {', '.join(spec.tasks)}: leave out `tasks`."
            )
        if spec.final.epochs:
            raise SpecError(
                f"The objective {spec.objective.name!r} is a function and knows no test data: "
                "leave out `final`."
            )
        if spec.batch_size > 1:
            raise SpecError(
                f"The objective {spec.objective.name!r} runs one trial at a time: batch_size must "
                f"be 1, got {spec.batch_size}."
            )

    def check_config(self, spec: StudySpec, config: Any) -> None:
        """Refuse what has no fingerprint."""
        if not callable(getattr(config, "fingerprint", None)):
            raise SpecError(
                f"The space {spec.space.name!r} must return a configuration with a method "
                f"`fingerprint`, got {shown(config)}."
            )

    def check_data(self, spec: StudySpec) -> None:
        """Load it."""
        _load(spec.objective.name)

    def own_space(self, spec: StudySpec) -> Callable[[Any], Any] | None:
        """Return what passes the trial on to a function; None for an objective."""
        return OpenTrial if _is_own_space(spec) else None

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> Any:
        """Load it."""
        found = _load(spec.objective.name)
        if _is_objective(found):
            return found
        module = load_module(split_path(spec.objective.name)[0])
        return FunctionObjective(
            found, name=spec.objective.name, file=module.__file__, seed=spec.seed
        )

    def describe(self, objective: Any) -> dict[str, float]:
        """Return what its method `describe` returns; nothing without one."""
        describe = getattr(objective, "describe", None)
        return dict(describe()) if callable(describe) else {}

    def has_final(self, spec: StudySpec) -> bool:
        """Tell whether the spec asks for one."""
        return spec.final.epochs > 0

    def final(self, spec: StudySpec, objective: Any, config: Any) -> FinalResult:
        """Return what its method `test` measures, the first metric being the objective's."""
        test = getattr(objective, "test", None)
        if not callable(test):
            raise UsageError(
                f"The objective {spec.objective.name!r} has no method test(config) -> "
                "{metric: value}, so there is no final training."
            )
        metrics = dict(test(config))
        return FinalResult(next(iter(metrics.values())), metrics)


def _is_own_space(spec: StudySpec) -> bool:
    return spec.space.name == spec.objective.name


def _load(path: str) -> Any:
    """Load an own objective.

    Raises:
        PluginError: If it cannot be loaded, or is neither an objective nor a function of a trial.
    """
    found = load_attribute(path)
    if inspect.isclass(found):
        raise PluginError(
            f"{path} is a class: make an object of it in the file, such as "
            f"objective = {found.__name__}(...), and name that."
        )
    if not _is_objective(found) and not callable(found):
        raise PluginError(
            f"{path} is neither a function of a trial nor an objective with start, value, "
            f"n_reports and penalty: it is {found!r:.60}."
        )
    return found


def _is_objective(found: Any) -> bool:
    return all(hasattr(found, method) for method in _METHODS)

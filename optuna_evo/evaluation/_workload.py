"""What contestants are trained on: a task at a width, a batch size and a number of steps, as text.

    digits                      the task as the study has it
    digits+width=128            another model: arguments of the task, or of its model
    digits+steps=5x             five times as many steps; steps=500 is a number of its own
    digits+batch=16             rows of a step

Four sets keep apart what must not meet: the search's own tasks; those on which its best are
measured again and a winner is chosen; and the unseen ones. Inside each, training, validation and
test rows are disjoint (`Task`), and seeds of searching, tuning, choosing and testing differ.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import functools
import inspect
import re
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError


if TYPE_CHECKING:
    from torch import nn

    from optuna_evo.tasks import Task

__all__ = [
    "check_directions",
    "parse_workload",
    "selection_workloads",
    "unseen_workloads",
    "Workload",
]

_WIDER, _LONGER, _SMALLER_BATCH = 2, 5, 2
# Other data for a first unseen task: embedded in scikit-learn, so they are everywhere.
_OTHERS = {"classification": ("digits", "breast_cancer"), "regression": ("diabetes", "quadratic")}
_MOST_STEPS = 10_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A task with all that says how it is trained but the optimizer.

    Args:
        name: Its text; two workloads of one name train alike.
        task: The task.
        steps: Optimizer steps of a training.
        batch_size: Rows of a step; None: the task's own.
        model: Arguments of the task's model.
    """

    name: str
    task: "Task"
    steps: int
    batch_size: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    def config(self, optimizer: OptimizerConfig) -> TrainingConfig:
        """Return what a training with an optimizer is told."""
        return TrainingConfig(
            optimizer=optimizer, batch_size=self.batch_size, model=dict(self.model)
        )

    def build_model(self) -> "nn.Module":
        """Return a model to look at; the global generator stays as it was."""
        import torch

        with torch.random.fork_rng(devices=[]):
            return self.task.build_model(**self.model)

    @functools.cached_property
    def hidden(self) -> tuple[str, ...]:
        """Names of the hidden matrices: of two dimensions, no embedding, not the last one."""
        from torch import nn

        model = self.build_model()
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        matrices = [(n, p) for n, p in model.named_parameters() if p.ndim == 2]
        return tuple(n for n, p in matrices[:-1] if id(p) not in embeddings)


def parse_workload(text: str, *, steps: int, options: Mapping[str, Any] | None = None) -> Workload:
    """Return the workload that a text names.

    Args:
        text: As above.
        steps: Steps where the text says none, and what "5x" multiplies.
        options: Arguments of the task, for the tasks of a study.

    Raises:
        UsageError: If there is no such task, or it has no such argument (a ValueError).
    """
    from optuna_evo import tasks

    name, *settings = text.strip().split("+")
    given: dict[str, Any] = dict(options or {})
    batch_size, n_steps, model = None, steps, dict[str, Any]()
    pairs = []
    for setting in settings:
        key, found, value = setting.partition("=")
        if not found or not key or not value:
            raise UsageError(
                f"A task is NAME or NAME+KEY=VALUE+…, such as digits+width=128+steps=5x; got "
                f"{text!r:.100}."
            )
        pairs.append((key, value))
    task = tasks.get(name, **given)
    takes = inspect.signature(task.build_model).parameters
    for key, value in pairs:
        if key == "steps":
            n_steps = _steps(value, steps, text)
        elif key == "batch":
            batch_size = _whole(value, text)
        elif key in takes:
            model[key] = _value(value)
        else:
            given[key] = _value(value)
    if given != dict(options or {}):
        try:
            task = tasks.get(name, **given)
        except UsageError as error:
            raise UsageError(
                f"The task {name!r} of {text!r:.100} cannot be had: {error} Its model takes: "
                f"{', '.join(takes) or 'nothing'}; every task takes steps and batch."
            ) from error
    return Workload(
        name="+".join([name, *(f"{key}={value}" for key, value in sorted(pairs))]),
        task=task,
        steps=n_steps,
        batch_size=batch_size,
        model=model,
    )


def selection_workloads(own: Sequence[Workload]) -> list[Workload]:
    """Return the tasks to choose the winner on: the search's with half of the rows in a step."""
    return [_with_batch(workload) for workload in own]


def unseen_workloads(own: Sequence[Workload]) -> list[Workload]:
    """Return tasks that no search saw: other data, another width, five times as many steps."""
    found: list[Workload] = []
    for workload in own:
        width = inspect.signature(workload.task.build_model).parameters.get("width")
        if width is not None and isinstance(width.default, int):
            found.append(_with(workload, "width", _WIDER * width.default))
        found.append(
            Workload(
                name=f"{workload.name}+steps={_LONGER}x",
                task=workload.task,
                steps=_LONGER * workload.steps,
                batch_size=workload.batch_size,
                model=workload.model,
            )
        )
    names = {workload.task.name for workload in own}
    others = [n for n in _OTHERS.get(own[0].task.kind, ()) if n not in names]
    return [*(parse_workload(n, steps=own[0].steps) for n in others[:1]), *found]


def check_directions(workloads: Sequence[Workload]) -> None:
    """Check that a higher metric is better on all of them, or on none.

    Raises:
        UsageError: If not (a ValueError).
    """
    first = workloads[0]
    for other in workloads:
        if other.task.higher_is_better != first.task.higher_is_better:
            better = {True: "higher", False: "lower"}
            raise UsageError(
                f"Tasks of one judgement must agree on what is better: of {first.name!r} a "
                f"{better[first.task.higher_is_better]} metric is, of {other.name!r} a "
                f"{better[other.task.higher_is_better]} one: judge them apart."
            )


def _with_batch(workload: Workload) -> Workload:
    size = max(1, (workload.batch_size or workload.task.batch_size) // _SMALLER_BATCH)
    return Workload(
        name=f"{workload.name}+batch={size}",
        task=workload.task,
        steps=workload.steps,
        batch_size=size,
        model=workload.model,
    )


def _with(workload: Workload, key: str, value: Any) -> Workload:
    return Workload(
        name=f"{workload.name}+{key}={value}",
        task=workload.task,
        steps=workload.steps,
        batch_size=workload.batch_size,
        model={**workload.model, key: value},
    )


def _steps(value: str, steps: int, text: str) -> int:
    times = re.fullmatch(r"(\d+(?:\.\d+)?)x|x(\d+(?:\.\d+)?)", value)
    found = round(steps * float(times[1] or times[2])) if times else _whole(value, text)
    if not 1 <= found <= _MOST_STEPS:
        raise UsageError(f"`steps` of {text!r:.100} must be in 1..{_MOST_STEPS}, got {found}.")
    return found


def _whole(value: str, text: str) -> int:
    if not value.isdecimal() or len(value) > 9 or int(value) < 1:
        raise UsageError(f"{value!r:.40} in {text!r:.100} must be a whole number of at least 1.")
    return int(value)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)

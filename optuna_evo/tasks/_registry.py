"""Tasks by name. A new one is a file with a `Task` in it and a line here."""

from collections.abc import Mapping
from typing import Final

from optuna_evo.errors import PluginError
from optuna_evo.errors import UsageError
from optuna_evo.plugins import load_attribute
from optuna_evo.tasks._task import Task


__all__ = ["get", "names"]

_BUILT_IN: Final[Mapping[str, str]] = {
    "char_lm": "optuna_evo.tasks._char_lm:char_lm",
    "cifar10": "optuna_evo.tasks._cifar10:cifar10",
    "digits": "optuna_evo.tasks._digits:digits",
    "fashion_mnist": "optuna_evo.tasks._mnist:fashion_mnist",
    "mnist": "optuna_evo.tasks._mnist:mnist",
    "mnist_alexnet": "optuna_evo.tasks._alexnet:mnist_alexnet",
    "quadratic": "optuna_evo.tasks._synthetic:quadratic",
    "two_moons": "optuna_evo.tasks._synthetic:two_moons",
}


def names() -> list[str]:
    """Return the names of the built-in tasks, sorted."""
    return sorted(_BUILT_IN)


def get(name: str) -> Task:
    """Return a task.

    Args:
        name: One of `names()`, or an own task as "module:attribute".

    Raises:
        UsageError: If there is no such built-in task (a ValueError).
        PluginError: If an own task cannot be loaded or is no `Task` (a ValueError).

    Example:
        >>> from optuna_evo import tasks
        >>> tasks.get("digits").kind
        'classification'
    """
    path = name if ":" in name else _BUILT_IN.get(name)
    if path is None:
        raise UsageError(
            f"A task must be one of {', '.join(names())}, or an own one as "
            f'"module:attribute"; got {name!r}.'
        )
    task = load_attribute(path)
    if not isinstance(task, Task):
        raise PluginError(
            f"{name!r} must be an `optuna_evo.tasks.Task`, got {type(task).__name__}."
        )
    return task

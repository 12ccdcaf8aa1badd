"""Tasks by name. A new one is a file with a `Task` in it and a line here."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import inspect
from typing import Any
from typing import Final

from optuna_evo.errors import PluginError
from optuna_evo.errors import UsageError
from optuna_evo.plugins import load_attribute
from optuna_evo.spec import check_arguments
from optuna_evo.spec import shown
from optuna_evo.tasks._task import Task


__all__ = ["get", "names"]

_BUILT_IN: Final[Mapping[str, str]] = {
    "ag_news": "optuna_evo.tasks._text_classification:ag_news",
    "breast_cancer": "optuna_evo.tasks._embedded:breast_cancer",
    "char_lm": "optuna_evo.tasks._char_lm:char_lm",
    "cifar10": "optuna_evo.tasks._cifar10:cifar10",
    "cola": "optuna_evo.tasks._text_classification:cola",
    "diabetes": "optuna_evo.tasks._embedded:diabetes",
    "digits": "optuna_evo.tasks._digits:digits",
    "fashion_mnist": "optuna_evo.tasks._mnist:fashion_mnist",
    "gpt2": "optuna_evo.tasks._gpt2:gpt2",
    "imdb": "optuna_evo.tasks._text_classification:imdb",
    "mnli": "optuna_evo.tasks._text_classification:mnli",
    "mnist": "optuna_evo.tasks._mnist:mnist",
    "mnist_alexnet": "optuna_evo.tasks._mnist_models:mnist_alexnet",
    "mnist_cnn": "optuna_evo.tasks._mnist_models:mnist_cnn",
    "mnist_resnet": "optuna_evo.tasks._mnist_models:mnist_resnet",
    "mrpc": "optuna_evo.tasks._text_classification:mrpc",
    "qnli": "optuna_evo.tasks._text_classification:qnli",
    "qqp": "optuna_evo.tasks._text_classification:qqp",
    "quadratic": "optuna_evo.tasks._synthetic:quadratic",
    "rte": "optuna_evo.tasks._text_classification:rte",
    "squad": "optuna_evo.tasks._squad:squad",
    "sst2": "optuna_evo.tasks._text_classification:sst2",
    "stsb": "optuna_evo.tasks._text_classification:stsb",
    "two_moons": "optuna_evo.tasks._synthetic:two_moons",
    "wine": "optuna_evo.tasks._embedded:wine",
    "wnli": "optuna_evo.tasks._text_classification:wnli",
}


def names() -> list[str]:
    """Return the names of the built-in tasks, sorted."""
    return sorted(_BUILT_IN)


def get(name: str, /, **options: Any) -> Task:
    """Return a task; the same object for the same arguments.

    A name stands for a `Task`, or for a function that makes one from keyword arguments.

    Args:
        name: One of `names()`, or a task of your own as "module:attribute".
        **options: Arguments of the function; a `Task` takes none.

    Raises:
        UsageError: If there is no such built-in task, or it takes no such option (a ValueError).
        PluginError: If "module:attribute" cannot be loaded or is not a `Task` (a ValueError).

    Example:
        >>> from optuna_evo import tasks
        >>> tasks.get("digits").kind
        'classification'
    """
    path = name if ":" in name else _BUILT_IN.get(name)
    if path is None:
        raise UsageError(
            f"A task must be one of {', '.join(names())}, or your own as "
            f'"module:attribute"; got {name!r}.'
        )
    found = load_attribute(path)
    task: object = found
    if inspect.isbuiltin(found):
        raise PluginError(f"{name!r} must be a task or a function of Python that makes one.")
    if callable(found) and not isinstance(found, Task):
        _check_options(name, options, list(inspect.signature(found).parameters))
        check_arguments(found, options, "task", name)
        # a list from TOML cannot be the key of a cache
        hashable = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        try:
            task = _made(found, tuple(sorted(hashable.items())))
        except (PluginError, UsageError):
            raise
        except Exception as error:  # an option of the wrong type, or the user's own function
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise PluginError(
                f"The task {name!r} cannot be made with {shown(options)}: "
                f"{type(error).__name__}: {reason}"
            ) from error
    if not isinstance(task, Task):
        raise PluginError(
            f"{name!r} must be an `optuna_evo.tasks.Task`, got {type(task).__name__}."
        )
    if task is found:
        _check_options(name, options, [])
    return task


# A task made twice has other functions and is another key of the caches of rows: make it once.
@functools.cache
def _made(make: Callable[..., object], options: tuple[tuple[str, Any], ...]) -> object:
    return make(**dict(options))


def _check_options(name: str, options: Mapping[str, Any], allowed: Sequence[str]) -> None:
    if unknown := [key for key in options if key not in allowed]:
        takes = f"takes: {', '.join(allowed)}" if allowed else "takes no options"
        raise UsageError(f"Unknown option {unknown[0]!r}: the task {name!r} {takes}.")

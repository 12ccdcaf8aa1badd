"""Options of a part, held to what the function that builds it says it takes.

A spec is plain data: numbers, texts, truth values, lists and tables. An option of another type is
refused before anything is built, by the annotations of the function, so that a wrong one does not
end the first trial.
"""

import builtins
import collections.abc
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import inspect
import math
import types
import typing
from typing import Any
from typing import Final

from optuna_evo.errors import SpecError


__all__ = ["check_arguments", "shown"]

# What the numbers of databases, of numpy and of torch can hold.
_LARGEST_INT: Final = 2**63 - 1
_MOST_SHOWN: Final = 100
# Options that say how many things of one kind are held in memory, or asked for, at a time.
_MOST: Final[Mapping[str, int]] = {
    "litter_size": 100_000,
    "max_terms": 1_000,
    "n_candidates": 100_000,
    "n_ei_candidates": 100_000,
    "n_elites": 100_000,
    "n_offspring": 100_000,
    "n_startup_trials": 100_000,
    "population_size": 100_000,
    "tournament_size": 100_000,
    "window": 100_000,
}
_WORDS: Final[Mapping[Any, str]] = {
    int: "a whole number below 2**63",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}
_LISTS: Final = (list, tuple, Sequence, Iterable, collections.abc.Collection)
_TABLES: Final = (dict, Mapping, collections.abc.MutableMapping)


def check_arguments(
    function: Callable[..., Any], options: Mapping[str, Any], where: str, name: str
) -> None:
    """Raise unless a function takes the options, by their names and types.

    Args:
        function: A function or class; what it has no annotation for is not checked.
        options: Keyword arguments as TOML or JSON has them.
        where: What the options are of, such as "sampler".
        name: Name of the part.

    Raises:
        SpecError: On an unknown option, or one of a type that it is not annotated with.

    Example:
        >>> def build(*, size: int = 3) -> None: ...
        >>> check_arguments(build, {"size": 4}, "sampler", "own")
    """
    parameters = _parameters(function, where, name)
    keywords = [p for p in parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    allowed = [
        key
        for key, p in parameters.items()
        if p.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    hints = _hints(function, parameters)
    for key, value in options.items():
        if key not in allowed and not keywords:
            takes = ", ".join(allowed) or "none"
            raise SpecError(f"Unknown key {shown(key)} in [{where}]; {name!r} takes: {takes}.")
        _check_value(hints.get(key, Any), value, f"{where}.{key}")
        most = _MOST.get(key)
        if most is not None and isinstance(value, int) and value > most:
            raise SpecError(f"`{where}.{key}` must be at most {most:,}, got {shown(value)}.")


def shown(value: Any) -> str:
    """Return a value for a message, on one line of bounded length."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; more digits than Python writes
        return f"a {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _check_value(hint: Any, value: Any, where: str) -> None:
    if not any(map(_is_data, _options_of(hint))):
        raise SpecError(
            f"`{where}` takes a function or an object, which a spec cannot hold: leave it out."
        )
    if not _fits(hint, value):
        raise SpecError(f"`{where}` must be {_described(hint)}, got {shown(value)}.")


def _parameters(
    function: Callable[..., Any], where: str, name: str
) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"The {where} {name!r} must be a function or class of Python, got {shown(function)}."
        ) from error


def _hints(function: Any, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the annotations of the parameters; Any where one cannot be read."""
    while isinstance(function, functools.partial):
        function = function.func
    owner = inspect.unwrap(function.__init__ if inspect.isclass(function) else function)
    names = _Names(getattr(owner, "__globals__", {}))
    hints = {}
    for key, parameter in parameters.items():
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        try:
            # one by one: `typing.get_type_hints` gives none where one name is not there
            alone: Any = types.SimpleNamespace(__annotations__={key: hint})
            hints[key] = (
                typing.get_type_hints(alone, {}, names, include_extras=True)[key]
                if isinstance(hint, str)
                else hint
            )
        except Exception:  # an annotation may be any text
            hints[key] = Any
    return hints


class _Names(dict[str, Any]):
    """Names of a module; what stands under TYPE_CHECKING only is anything."""

    def __missing__(self, name: str) -> Any:
        known = (getattr(place, name, None) for place in (builtins, collections.abc, typing))
        return next((each for each in known if each is not None), Any)


def _is_data(hint: Any) -> bool:
    """Tell whether a value that fits can stand in TOML."""
    kind = typing.get_origin(hint) or hint
    if kind is None or kind is types.NoneType or kind in (collections.abc.Callable, Callable):
        return False
    is_class = isinstance(kind, type) and kind not in (Any, object)
    return not is_class or kind in (*_LISTS, *_TABLES, *_WORDS)


def _options_of(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(each for arg in typing.get_args(hint) for each in _options_of(arg))
    return (hint,)


def _is_fixed(hint: Any) -> bool:
    """Tell whether a hint is a tuple of so many items; `tuple[()]` has none."""
    return typing.get_origin(hint) is tuple and Ellipsis not in typing.get_args(hint)


def _fits(hint: Any, value: Any) -> bool:
    if len(options := _options_of(hint)) > 1:
        return any(_fits(option, value) for option in options)
    if hint is Any or isinstance(hint, typing.TypeVar | str):
        return True
    if hint is None or hint is types.NoneType:
        return value is None
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is typing.Annotated:
        return _fits(arguments[0], value)
    if origin in (collections.abc.Callable, Callable):
        return False
    if _is_fixed(hint):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(arguments)
            and all(map(_fits, arguments, value))
        )
    if origin in _LISTS:
        each = arguments[0] if arguments else Any
        return isinstance(value, list | tuple) and all(_fits(each, item) for item in value)
    if origin in _TABLES:
        key_hint, item_hint = arguments or (Any, Any)
        return isinstance(value, Mapping) and all(
            _fits(key_hint, key) and _fits(item_hint, item) for key, item in value.items()
        )
    return _is_a(origin, value)


def _is_a(kind: Any, value: Any) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if kind is int:
        return is_int and abs(value) <= _LARGEST_INT
    if kind is float:
        return (is_int and abs(value) <= _LARGEST_INT) or (
            isinstance(value, float) and math.isfinite(value)
        )
    return isinstance(value, kind) if isinstance(kind, type) else True


def _described(hint: Any) -> str:
    """Say in words what fits."""
    texts = []
    for each in _options_of(hint):
        origin, arguments = typing.get_origin(each) or each, typing.get_args(each)
        if each is None or each is types.NoneType:
            continue  # TOML has none
        if origin is typing.Literal:
            texts += ["false" if value is False else repr(value) for value in arguments]
        elif _is_fixed(each):
            inner = f"a list of {len(arguments)}, each " if arguments else "[]"
            texts.append(inner + _described(arguments[0]) if arguments else inner)
        elif origin in _LISTS:
            texts.append(f"a list, each {_described(arguments[0])}" if arguments else "a list")
        elif origin in _TABLES:
            texts.append("a table")
        else:
            texts.append(_WORDS.get(origin, getattr(origin, "__name__", str(origin))))
    return " or ".join(dict.fromkeys(texts))

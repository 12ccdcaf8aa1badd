"""Frozen dataclasses from nested tables, as TOML and JSON have them, and back.

Keys and types are checked against the fields; a message says where the table is wrong.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import Field
from dataclasses import fields
from dataclasses import MISSING
import math
import tomllib
import types
from typing import Any
from typing import get_args
from typing import get_origin
from typing import get_type_hints
from typing import TypeVar

from optuna_evo.errors import SpecError
from optuna_evo.spec._arguments import shown


__all__ = ["check_storable", "read_table", "set_entry", "to_table"]

_T = TypeVar("_T")
_LARGEST_INT = 2**63 - 1  # what databases, numpy and torch can hold


def read_table(cls: type[_T], data: Any, where: str = "") -> _T:
    """Build a dataclass from a table.

    A class with a method `from_table(data, where)` reads its own tables.

    Args:
        cls: The dataclass.
        data: The table.
        where: Its place in the whole, "a.b"; empty for the whole.

    Raises:
        SpecError: On an unknown or missing key, a wrong type, or what the class refuses.
    """
    if not isinstance(data, Mapping):
        what = f"`{where}`" if where else "A spec"
        raise SpecError(f"{what} must be a table, got {shown(data)}.")
    if own := getattr(cls, "from_table", None):
        return own(data, where)  # type: ignore[no-any-return]
    hints = get_type_hints(cls)
    known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
    allowed = [f.name for f in known]
    place = f" in [{where}]" if where else ""
    if unknown := [key for key in data if key not in allowed]:
        raise SpecError(f"Unknown key {shown(unknown[0])}{place}; allowed: {', '.join(allowed)}.")
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in required if name not in data]:
        raise SpecError(f"The spec lacks {missing[0]!r}{place}.")
    prefix = f"{where}." if where else ""
    return cls(**{key: _convert(hints[key], value, prefix + key) for key, value in data.items()})


def to_table(value: Any) -> Any:
    """Return nested plain JSON types, every default filled in."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: to_table(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_table(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_table(item) for item in value]
    return value


def check_storable(value: Any) -> None:
    """Raise if a dataclass or a part of it cannot be written as JSON, as databases hold it.

    Raises:
        SpecError: With the place of what cannot, such as a date, NaN or a function.
    """
    try:
        _check_plain(to_table(value), "")
    except RecursionError as error:
        raise SpecError("The spec is nested too deeply.") from error


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            # the options of a part stand beside its name in TOML
            is_part = key == "options" and set(value) == {"name", "options"}
            place = where if is_part else f"{where}.{key}" if where else str(key)
            _check_plain(item, place)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"`{where}` must be a finite number, got {value}.")
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_INT:
        raise SpecError(f"`{where}` must be below 2**63, got {shown(value)}.")
    elif isinstance(value, str) and not is_storable(value):
        raise SpecError(f"`{where}` must be a text that UTF-8 can hold, got {shown(value)}.")
    elif value is not None and not isinstance(value, str | int | float):
        raise SpecError(
            f"`{where}` must be a number, a text, a list or a table, got {shown(value)}."
        )


def is_storable(text: str) -> bool:
    """Tell whether every database can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def set_entry(data: dict[str, Any], entry: str) -> None:
    """Write "a.b=c" into a table; c is read as TOML, or as a string where that fails.

    Raises:
        SpecError: If the entry has another form, or `a` is no table.
    """
    key, equals, text = entry.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not all((*tables, last)):
        raise SpecError(f"`--set` takes a.b=c, got {shown(entry)}.")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise SpecError(f"`--set {shown(entry)}`: {table!r} is no table.")
    data[last] = _toml_value(text)


def _toml_value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    except RecursionError as error:
        raise SpecError("`--set` takes no value that is nested so deeply.") from error
    # a second line would be another key, which nobody would read
    return read["value"] if len(read) == 1 else text.strip()


def _convert(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return read_table(hint, value, where)
    if get_origin(hint) is tuple:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise SpecError(f"`{where}` must be a list, got {shown(value)}.")
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is Mapping:
        if not isinstance(value, Mapping):
            raise SpecError(f"`{where}` must be a table, got {shown(value)}.")
        if names := [key for key in value if not isinstance(key, str)]:
            raise SpecError(f"Keys of `{where}` must be texts, got {shown(names[0])}.")
        return {k: _convert(get_args(hint)[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is Any:
        return value
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(get_args(hint)[0], value, where)
    if not isinstance(value, bool) and isinstance(value, int | float) and hint in (int, float):
        if not -_LARGEST_INT <= value <= _LARGEST_INT and isinstance(value, int):
            raise SpecError(f"`{where}` must be below 2**63, got {shown(value)}.")
        if not math.isfinite(value):
            raise SpecError(f"`{where}` must be a finite number, got {value}.")
        value = float(value) if hint is float else value
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise SpecError(f"`{where}` must be of type {hint.__name__}, got {shown(value)}.")
    return value

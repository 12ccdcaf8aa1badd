"""A table as TOML, which `tomllib` reads and the standard library does not write."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
import re
from typing import Any


__all__ = ["as_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(table: Mapping[str, Any]) -> str:
    """Return a table of plain JSON types as TOML; what is None or an empty table is left out.

    Example:
        >>> print(as_toml({"tasks": ["digits"], "sampler": {"name": "ga"}}), end="")
        tasks = ["digits"]
        sampler = {name = "ga"}
    """
    kept = {key: value for key, value in table.items() if value is not None and value != {}}
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in kept.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON writes a character beyond the first plane as two halves, which TOML has not
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(_entries(value))}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{type(value).__name__} is no type of TOML.")


def _entries(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None:
            yield f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)

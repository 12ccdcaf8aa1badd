"""Strategies for spoilt input: bytes with some changed, tables with values that are none."""

import copy
import json
from typing import Any

from hypothesis import strategies as st


__all__ = ["changed_bytes", "changed_table", "JSON_VALUES"]

_NAMES = ("os:system", "builtins:eval", "no.such:x", "a.py:b", "../../x", "~", "[/red]", "\x1b[0m")
_NUMBERS = (0, -1, 2, 10**9, 2**31, 2**63, 10**30, 1e308, -1e-320, float("nan"), float("inf"))
_LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from(_NUMBERS)
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(_NAMES)
    | st.text(max_size=8)
)
JSON_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@st.composite
def changed_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw bytes of which a few are others, gone, new, doubled or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "delete", "insert", "double", "cut", "zero"]))
        length = draw(st.integers(1, 40))
        if not data:
            break
        if kind == "flip":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            data[place] = draw(st.integers(0, 255))
        elif kind == "delete":
            del data[place : place + length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=6) | st.sampled_from([b"[", b'"', b"=\n"]))
        elif kind == "double":
            data[place:place] = data[place : place + length]
        elif kind == "cut":
            del data[place:]
        else:
            data[place : place + length] = bytes(len(data[place : place + length]))
    return bytes(data)


@st.composite
def changed_table(draw: st.DrawFn, tables: list[Any]) -> Any:
    """Draw one of some tables with one to three places that hold something else, or nothing."""
    table = copy.deepcopy(draw(st.sampled_from(tables)))
    for _ in range(draw(st.integers(1, 3))):
        place = table
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                place = inner
                continue
            change = draw(st.sampled_from(["set", "set", "set", "delete", "add"]))
            if change == "delete":
                del place[key]
            elif change == "add" and isinstance(place, dict):
                place[draw(st.text(max_size=5))] = draw(JSON_VALUES)
            else:
                place[key] = draw(JSON_VALUES)
            break
    return table


def as_json(value: Any) -> str:
    """Return a value as JSON has it; NaN and infinities as Python writes them."""
    return json.dumps(value)

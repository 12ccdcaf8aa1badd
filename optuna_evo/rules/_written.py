"""Operands that write down what is done to them: expressions of rows become text."""

from __future__ import annotations

import functools
from typing import Any


__all__ = ["Names", "text_of", "Written"]


class Written:
    """A tensor or number that writes down what is done to it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getattr__(self, method: str) -> Any:
        return functools.partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> Written:
        return Written(f"{self.text}.{method}({', '.join(map(text_of, arguments))})")

    def __add__(self, other: Any) -> Written:
        return Written(f"({self.text} + {text_of(other)})")

    def __mul__(self, other: Any) -> Written:
        return Written(f"{self.text} * {text_of(other)}")

    def __truediv__(self, other: Any) -> Written:
        return Written(f"{self.text} / {text_of(other)}")

    def __eq__(self, other: object) -> Any:
        return Written(f"{self.text} == {text_of(other)}")

    __hash__ = None  # type: ignore[assignment]


def text_of(value: Any) -> str:
    """Return the text of what was written down, or of a number."""
    return value.text if isinstance(value, Written) else repr(value)


class Names:
    """The `Operands` of the rows, each by its name; notes which were read."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Written:
        self.read.add(name)
        return Written(name)

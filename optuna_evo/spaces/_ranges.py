"""Ranges that a space draws from, and how to switch one off where there is no None."""

from typing import Literal


__all__ = ["Range", "WholeRange"]

Off = Literal[False] | tuple[()] | None
"""Not searched. TOML has no None: there it is `false`, as in `space.dropout = false`."""
Range = tuple[float, float] | Off
WholeRange = tuple[int, int] | Off

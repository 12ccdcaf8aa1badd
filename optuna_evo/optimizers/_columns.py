"""The table that a compiled kernel finds its tensors in."""

from typing import Final

from optuna_evo.rules import AVERAGES


__all__ = ["COLUMNS"]

COLUMNS: Final = ("params", "grads", *(a.state for a in AVERAGES.values()), "directions", "sizes")
"""Addresses of the tensors by what they are, and their numbers of elements."""

"""A short digest of plain values."""

from collections.abc import Mapping
import hashlib
import json
from typing import Any


__all__ = ["digest"]


def digest(values: Mapping[str, Any], n_digits: int = 12) -> str:
    """Return so many hex digits that equal values share, whatever the order of their keys."""
    text = json.dumps(dict(values), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:n_digits]

"""Values that are none of the right ones, and a way to put them into a nested table."""

from collections.abc import Iterator
import copy
import datetime
import math
import random
from typing import Any


NESTED: Any = []
for _ in range(3000):
    NESTED = [NESTED]

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -5,
    1.5,
    2**63,
    10**30,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    "",
    "x",
    "[/red]\x1b[31m",
    "\udc80",
    "a\x00b",
    "n" * 5000,
    "os:system",
    "builtins:print",
    "math:pi",
    "no.such.module:x",
    [],
    ["a", "b"],
    [1, 2, 3],
    [math.nan, 1.0],
    [10**400, 1],
    [[0, 1], [2]],
    {},
    {"name": 1},
    {"name": "ga", "n_elites": "x"},
    {"options": {"a": 1}},
    {1: 2},
    (1, "x"),
    {3},
    b"bytes",
    datetime.date(2000, 1, 1),
    object(),
    NESTED,
)


def mutations(seed: int, n: int, tables: list[dict[Any, Any]]) -> Iterator[dict[Any, Any]]:
    """Yield tables of which one to three places hold something else, or are gone or new."""
    rng = random.Random(seed)
    for _ in range(n):
        table = copy.deepcopy(rng.choice(tables))
        for _ in range(rng.randint(1, 3)):
            _spoil(table, rng)
        yield table


def _spoil(table: Any, rng: random.Random) -> None:
    place = table
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        deeper = isinstance(place[key], dict | list) and place[key] and place[key] is not NESTED
        if not deeper or rng.random() < 0.3:
            break
        place = place[key]
    if isinstance(place, dict) and rng.random() < 0.1:
        place[rng.choice(["extra", 7, None])] = rng.choice(HOSTILE)
    elif isinstance(place, dict) and rng.random() < 0.1:
        del place[key]
    else:
        place[key] = rng.choice(HOSTILE)

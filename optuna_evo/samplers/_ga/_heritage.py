"""Who may be a parent, and what children inherit beside the values of their parents."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import re
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeVar

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from optuna_evo.samplers._rank import Rank


__all__ = [
    "best_of_each",
    "donors",
    "Heritage",
    "latest_successes",
    "PARENTS",
    "structure",
]

PARENTS: Final = 2  # candidates for parents, in population sizes
_N_SUCCESSES: Final = 10
_N_DONORS: Final = 3


T = TypeVar("T")


class Heritage(NamedTuple):
    """What children inherit beside the values of their parents.

    Attributes:
        steps: Sizes of the latest mutations that made children better than their mothers.
        donors: Values in the best trials that have a parameter, by its name.
    """

    steps: Sequence[float]
    donors: Mapping[str, Sequence[Any]]


def latest_successes(
    steps: Iterable[tuple[int, int, float]], ranks: Mapping[int, Rank]
) -> list[float]:
    """Return the sizes of the latest mutations that made children better, the last first.

    Args:
        steps: Numbers of child and mother, and the size.
        ranks: Of the trials that count, by number.
    """
    successes: list[float] = []
    for child, mother, step in sorted(steps, reverse=True):
        if child in ranks and mother in ranks and ranks[child] < ranks[mother]:
            successes.append(step)
            if len(successes) == _N_SUCCESSES:
                break
    return successes


def donors(best: Iterable[Mapping[str, Any]], n_names: int) -> dict[str, list[Any]]:
    """Return values of each parameter in the first trials that have it.

    Args:
        best: Parameters of trials, the best first.
        n_names: How many parameters there are in all.
    """
    values: dict[str, list[Any]] = {}
    n_missing = _N_DONORS * n_names
    for params in best:
        if n_missing == 0:
            break
        for name, value in params.items():
            known = values.setdefault(name, [])
            if len(known) < _N_DONORS:
                known.append(value)
                n_missing -= 1
    return values


def structure(trial: FrozenTrial) -> frozenset[tuple[str, str]]:
    """Return what the categories of a trial are, those of list items wherever they stand."""
    distributions = trial.distributions
    return frozenset(
        (_without_digits(name), repr(value))
        for name, value in trial.params.items()
        if isinstance(distributions[name], CategoricalDistribution)
    )


def best_of_each(best: Iterable[tuple[T, object]], n: int) -> list[T]:
    """Return n items: the first of each structure, and the first of the others if these are few.

    Near copies of the best would soon be the only parents; and what a new structure needs is time,
    until its numbers fit.

    Args:
        best: Items and their structures, the best first.
        n: How many.
    """
    seen: set[object] = set()
    first, others = list[T](), list[T]()
    for item, kind in best:
        if kind not in seen:
            seen.add(kind)
            first.append(item)
            if len(first) == n:
                break
        elif len(others) < n:
            others.append(item)
    return [*first, *others[: n - len(first)]]


@functools.lru_cache(maxsize=65_536)
def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "{i}", name)

"""What children inherit beside the values of their parents."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final
from typing import NamedTuple

from optuna_evo.samplers._rank import Rank


__all__ = ["donors", "Heritage", "latest_successes"]

_N_SUCCESSES: Final = 10
_N_DONORS: Final = 3


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

"""Which of several children is promising: a Gaussian process on what all trials have shown.

A list whose items have a kind is seen as a bag: how many items of each kind there are, and the sum
of each of their numbers by kind. An optimizer of two terms is the same whichever stands first.

Shape legend: n trials or children, d parameters, c feature columns.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution

from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._operators import limits
from optuna_evo.samplers._improvement import log_expected_improvement
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rank import Rank
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.samplers._threads import one_blas_thread
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import n_active
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import warp


__all__ = ["KernelMemory", "MAX_PARAMETERS", "MIN_TRIALS", "Screen"]

Array = NDArray[np.float64]
Params = Mapping[str, Any]
KernelMemory = LastResult[Kernel]
"""The last kernel, found again by the data that it was fitted to."""

MIN_TRIALS: Final = 8
MAX_PARAMETERS: Final = 100  # of more, the lengths and conditions take seconds to learn
_MAX_KINDS: Final = 32  # of more, the columns of a bag are mostly empty
_REFIT_GROWTH: Final = 1.3
_MAX_FIT_ROWS: Final = 80  # trials that lengths are fitted to, and on which the process
_MAX_ROWS: Final = 200  # is conditioned: a generation then takes some milliseconds
_MAX_SEEN: Final = 512  # trials up to which conditions are learned from all of them


class Screen:
    """What the trials before a generation say about children.

    Args:
        trials: Parameters, ranges and ranks of the trials, in the order of their numbers, at least
            `MIN_TRIALS`.
        specs: The lists among them.
        memory: The last kernel.
    """

    def __init__(
        self,
        trials: Sequence[tuple[Params, Mapping[str, BaseDistribution], Rank]],
        specs: Sequence[ListSpec],
        memory: KernelMemory,
    ) -> None:
        losses = _losses([rank for _, _, rank in trials])
        targets, first = warp(losses), warp(losses[: _fit_size(len(trials))])
        rows, fit_rows = spread_rows(targets, _MAX_ROWS), spread_rows(first, _MAX_FIT_ROWS)
        seen = np.arange(len(trials))
        if len(trials) > _MAX_SEEN:
            seen = np.union1d(rows, fit_rows)
        space: dict[str, BaseDistribution] = {}
        for _, distributions, _ in trials:
            space.update(distributions)
        params = [trials[k][0] for k in seen.tolist()]
        self._encoding = _BagEncoding(space, specs, params)
        units = self._encoding.units(params)
        self._rules = learn_rules(units)
        features, groups = self._encoding.features(units), self._encoding.groups
        inputs = features[np.searchsorted(seen, fit_rows)], first[fit_rows], groups
        active = self._encoding.n_active(units[np.searchsorted(seen, fit_rows)])
        with one_blas_thread():
            kernel = memory.of(lambda: fit_kernel(*inputs, active=active), *inputs, active)
            known = features[np.searchsorted(seen, rows)]
            self._posterior = condition(kernel, known, targets[rows], groups)
        self._best = float(targets.min())

    def best_of(self, children: Sequence[Params]) -> int:
        """Return the index of the child with the greatest expected improvement."""
        units = deactivate(self._encoding.units(children), self._rules)
        with one_blas_thread():
            features = self._encoding.features(units)
            mean, variance = self._posterior.mean_and_variance(features)
        return int(log_expected_improvement(mean, np.sqrt(variance), self._best).argmax())


class _BagEncoding:
    """Configurations as vectors, lists with kinds as bags."""

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        specs: Sequence[ListSpec],
        params: Sequence[Params],
    ) -> None:
        free = {name: space[name] for name in sorted(space) if not space[name].single()}
        self._all = SpaceEncoding(free)
        self._column = {name: j for j, name in enumerate(free)}
        self._bags = [bag for spec in specs if (bag := self._bag(spec, free)) is not None]
        bagged = {name for names, others, _ in self._bags for name in [*names, *sum(others, [])]}
        self._single = [name for name in free if name not in bagged]
        rest = {name: free[name] for name in self._single}
        self._rest = SpaceEncoding(
            rest, optional=[name for name in rest if any(name not in p for p in params)]
        )
        n = len(self._single)
        n_bagged = sum(len(choices) * (1 + len(o)) for _, o, choices in self._bags)
        self.groups = np.concatenate([self._rest.groups, np.arange(n, n + n_bagged)])

    def units(self, params: Sequence[Params]) -> Array:
        """Encode configurations, (n, d); NaN where a parameter is missing."""
        return self._all.units(params)

    def features(self, units: Array) -> Array:
        """Return what the process sees of units (n, d): (n, c)."""
        single = [self._column[name] for name in self._single]
        columns = [self._rest.features(units[:, single])]
        for kinds, numbers, choices in self._bags:
            kind = units[:, [self._column[name] for name in kinds]]
            values = [units[:, [self._column[name] for name in names]] - 0.5 for names in numbers]
            for choice in range(len(choices)):
                is_one = kind == choice
                columns.append(is_one.any(axis=1, keepdims=True) / math.sqrt(2.0))
                columns += [
                    np.nansum(np.where(is_one, value, 0.0), axis=1, keepdims=True)
                    for value in values
                ]
        return np.concatenate(columns, axis=1)

    def n_active(self, units: Array) -> Array:
        """Return how many of the process's parameters act with each one, on average.

        A number of a kind is there where the kind is.
        """
        single = [self._column[name] for name in self._single]
        columns = [units[:, single]]
        for kinds, numbers, choices in self._bags:
            kind = units[:, [self._column[name] for name in kinds]]
            for choice in range(len(choices)):
                there = (kind == choice).any(axis=1, keepdims=True)
                columns.append(np.zeros((len(units), 1)))
                columns += [np.where(there, 0.0, np.nan)] * len(numbers)
        return n_active(np.concatenate(columns, axis=1))

    @staticmethod
    def _bag(
        spec: ListSpec, free: Mapping[str, BaseDistribution]
    ) -> tuple[list[str], list[list[str]], tuple[Any, ...]] | None:
        """Return the names of the kinds by position, of the numbers likewise, and the choices."""
        n = min(limits(spec, free)[1], len(free)) if spec.length in free else 0
        positions = [k for k in range(n) if all(spec.name(t, k) in free for t in spec.templates)]
        if not positions:
            return None
        by_template = {t: [spec.name(t, k) for k in positions] for t in spec.templates}
        kinds, numbers = list[list[str]](), list[list[str]]()
        for names in by_template.values():
            is_kind = isinstance(free[names[0]], CategoricalDistribution)
            (kinds if is_kind else numbers).append(names)
        if len(kinds) != 1 or any(free[name] != free[kinds[0][0]] for name in kinds[0]):
            return None
        distribution = free[kinds[0][0]]
        assert isinstance(distribution, CategoricalDistribution)
        if len(distribution.choices) > _MAX_KINDS:
            return None
        return kinds[0], numbers, distribution.choices


def _losses(ranks: Sequence[Rank]) -> Array:
    """Return finite losses; what is pruned or breaks a constraint is no better than the median."""
    losses = bound(np.array([rank.loss for rank in ranks]))
    valid = np.array([not rank.is_pruned and rank.violation == 0.0 for rank in ranks])
    middle = float(np.median(losses[valid])) if valid.any() else 0.0
    return np.asarray(np.where(valid, losses, np.maximum(losses, middle)))


def _fit_size(n: int) -> int:
    """Return how many of n trials the lengths are fitted to: seldom another number."""
    steps = math.floor(math.log(n / MIN_TRIALS) / math.log(_REFIT_GROWTH))
    return min(n, math.ceil(MIN_TRIALS * _REFIT_GROWTH**steps))

"""What a sampler believes about the objective: a posterior over the study's own space.

The belief is a function of the study's trials alone. The only thing kept between asks is the last
fitted kernel, found again by the data it was fitted to.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._history import History
from optuna_evo.samplers._memory import LastResult
from optuna_evo.surrogates import ActivityRule
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import Posterior
from optuna_evo.surrogates import Predictive
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import warp


Array = NDArray[np.float64]

MAX_ROWS = 256  # observations that the posterior is conditioned on
MAX_FIT_ROWS = 128  # observations that the kernel is fitted to
SHORTLIST = 200  # candidates of a joint draw
OPTIMISM = 2.5  # standard deviations below the mean by which they are chosen
REFIT_ALWAYS_UP_TO = 30
REFIT_GROWTH = 1.1  # above that: only after this growth of the study


@dataclass(frozen=True)
class Belief:
    """A posterior, and what is needed to ask it about candidates.

    `units` and `targets` are all observations, `known` also the running and failed trials.
    """

    encoding: SpaceEncoding
    rules: tuple[ActivityRule, ...]
    units: Array  # (n, d)
    losses: Array  # (n,), finite
    targets: Array  # (n,), warped losses
    known: Array
    posterior: Predictive
    configurations: Sequence[Mapping[str, Any]]  # of the n observations, as they were suggested

    @property
    def ranked(self) -> Array:
        """The observations, the best first, (n, d)."""
        return self.units[np.argsort(self.targets, kind="stable")]

    def values(self, row: Array) -> dict[str, Any]:
        """Return the parameters at a row of units (d,); those of an observation are exact."""
        return self.encoding.recall(row, self.units, self.configurations)

    def fresh(self, candidates: Array) -> NDArray[np.intp]:
        """Return the indices of candidates that would tell something new."""
        return unseen(deactivate(candidates, self.rules), self.known)

    def shortlist(self, candidates: Array, size: int = SHORTLIST) -> Array:
        """Return the candidates that a posterior draw may be lowest at, (at most `size`, d).

        A joint draw costs the cube of their number, the marginal posterior is cheap.
        """
        if len(candidates) <= size:
            return candidates
        mean, variance = self.posterior.mean_and_variance(self.features(candidates))
        order = np.argsort(mean - OPTIMISM * np.sqrt(variance), kind="stable")
        return candidates[np.sort(order[:size])]

    def features(self, candidates: Array) -> Array:
        """Return what the posterior sees of candidates: without parameters that do not apply."""
        return self.encoding.features(deactivate(candidates, self.rules))


def believe(history: History, memory: LastResult[Kernel]) -> Belief:
    """Learn from a history with at least one observation."""
    encoding = SpaceEncoding(history.space, optional=history.optional)
    configurations = [o.params for o in history.observations]
    units = encoding.units(configurations)
    losses = bound(np.array([o.loss for o in history.observations]))
    features, targets = encoding.features(units), warp(losses)
    kernel = _fit(encoding, features, losses, memory)
    rows = spread_rows(targets, MAX_ROWS)
    running, failed = (complete_rows(encoding, part) for part in (history.running, history.failed))
    posterior = _with_unknown(
        condition(kernel, features[rows], targets[rows], encoding.groups),
        targets[rows],
        encoding.features(running),
        encoding.features(failed),
    )
    known = np.concatenate([units, running, failed])
    rules = learn_rules(units)
    return Belief(encoding, rules, units, losses, targets, known, posterior, configurations)


def spread_rows(targets: Array, limit: int) -> NDArray[np.intp]:
    """Return at most `limit` rows: the best half, the latest quarter, the rest evenly spread."""
    n = len(targets)
    if n <= limit:
        return np.arange(n)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.argsort(targets, kind="stable")[: limit // 2]] = True
    chosen[n - limit // 4 :] = True
    others = np.flatnonzero(~chosen)
    n_more = min(limit - int(chosen.sum()), len(others))
    chosen[others[np.linspace(0, len(others) - 1, n_more).astype(np.intp)]] = True
    return np.flatnonzero(chosen)


def fit_size(n: int) -> int:
    """Return how many observations the kernel in use at n is fitted to."""
    if n <= REFIT_ALWAYS_UP_TO:
        return n
    steps = math.floor(math.log(n / REFIT_ALWAYS_UP_TO) / math.log(REFIT_GROWTH))
    return min(n, math.floor(REFIT_ALWAYS_UP_TO * REFIT_GROWTH**steps))


def _fit(
    encoding: SpaceEncoding, features: Array, losses: Array, memory: LastResult[Kernel]
) -> Kernel:
    size = fit_size(len(losses))
    targets = warp(losses[:size])
    rows = spread_rows(targets, MAX_FIT_ROWS)
    inputs = features[:size][rows], targets[rows], encoding.groups
    return memory.of(lambda: fit_kernel(*inputs), *inputs)


def complete_rows(encoding: SpaceEncoding, configurations: Sequence[Mapping[str, Any]]) -> Array:
    """Encode the configurations that lack nothing but optional parameters."""
    units = encoding.units(configurations)
    required = ~np.array(encoding.optional, dtype=bool)
    return units[~np.isnan(units[:, required]).any(axis=1)]


def expect_unknown(posterior: Predictive, unknown: Array, n_running: int) -> Array:
    """Return what is expected of running trials, and mediocrity of the failed ones after them."""
    expected, _ = posterior.mean_and_variance(unknown)
    # The targets are standardised: 0 is their mean.
    expected[n_running:] = np.maximum(expected[n_running:], 0.0)
    return expected


def _with_unknown(
    posterior: Posterior, targets: Array, running: Array, failed: Array
) -> Posterior:
    """Condition on what is expected of running and failed trials."""
    unknown = np.concatenate([running, failed])
    if len(unknown) == 0:
        return posterior
    expected = expect_unknown(posterior, unknown, len(running))
    return condition(
        posterior.kernel,
        np.concatenate([posterior.features, unknown]),
        np.concatenate([targets, expected]),
        posterior.groups,
    )

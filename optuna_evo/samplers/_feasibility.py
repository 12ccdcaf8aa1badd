"""What a sampler believes about constraints: one Gaussian process for each that was violated.

    n observations, m candidates, c feature columns, q draws

Draws of objective and constraints are taken together, and the best candidate among those whose
drawn constraints are all met is nominated; where there is none, the one with the smallest drawn
violation (Eriksson and Poloczek 2021, section 3). Expected improvement is multiplied by the
probability that all constraints are met (Gardner et al. 2014, eq. 4).
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import MAX_FIT_ROWS
from optuna_evo.samplers._rows import MAX_ROWS
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import n_active
from optuna_evo.surrogates import Predictive
from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]

# Standard deviations by which a draw must stay on the safe side. Optima lie on the boundary, and
# there a draw without it is infeasible in half of the cases, for a gain that shrinks to nothing.
CAUTION = 1.0
MAX_MODELS = 4  # each costs as much as the model of the objective
_WORST = "/worst of the others"  # the name under which the kernel of all other ones is remembered

KernelMemory = dict[str, LastResult[Kernel]]
"""The last kernel of each constraint, by its name: a cache, never a state."""


class _Limited(NamedTuple):
    """A constraint on the scale on which it is learned: it is met up to the limit."""

    posterior: Predictive
    limit: float


@dataclass(frozen=True)
class Feasibility:
    """The posteriors of the constraints."""

    models: Sequence[_Limited]

    def log_probability(self, candidates: Array) -> Array:
        """Return ln P(all constraints are met) at candidates (m, c), as if independent, (m,)."""
        total = np.zeros(len(candidates))
        for posterior, limit in self.models:
            mean, variance = posterior.mean_and_variance(candidates)
            total += norm.logcdf((limit - mean) / np.sqrt(variance))
        return total

    def violation(self, candidates: Array, optimism: float = 0.0) -> Array:
        """Return the sum by which constraints are expected to be violated, (m,).

        Args:
            candidates: Features, (m, c).
            optimism: How many standard deviations below the mean a constraint is taken to be.
        """
        total = np.zeros(len(candidates))
        for posterior, limit in self.models:
            mean, variance = posterior.mean_and_variance(candidates)
            total += np.maximum(mean - optimism * np.sqrt(variance) - limit, 0.0)
        return total

    def draw_violation(self, candidates: Array, n_draws: int, rng: np.random.Generator) -> Array:
        """Return by how much joint posterior draws violate the constraints, (q, m); 0: met."""
        total = np.zeros((n_draws, len(candidates)))
        for posterior, limit in self.models:
            _, variance = posterior.mean_and_variance(candidates)
            drawn = posterior.draw(candidates, n_draws, rng) + CAUTION * np.sqrt(variance)
            total += np.maximum(drawn - limit, 0.0)
        return total


def learn_feasibility(
    constraints: Sequence[Mapping[str, float]],
    encoding: SpaceEncoding,
    units: Array,
    memory: KernelMemory,
) -> Feasibility | None:
    """Learn from the constraints of n observations; None if they have excluded nothing yet.

    Args:
        constraints: Those of each observation by name; one that it lacks tells nothing about it.
        encoding: The space.
        units: The observations, (n, d).
        memory: Kernels fitted earlier.
    """
    models: list[_Limited] = []
    features, groups = encoding.features(units), encoding.groups
    for name, values in _columns(constraints).items():
        known = np.flatnonzero(~np.isnan(values))
        targets, limit = _targets(values[known])
        if not targets.any():
            continue
        inputs = features[known]
        last = memory.setdefault(name, LastResult())
        kernel = _fit(values[known], inputs, groups, units[known], last)
        rows = spread_rows(np.abs(targets - limit), MAX_ROWS)
        models.append(_Limited(condition(kernel, inputs[rows], targets[rows], groups), limit))
    return Feasibility(models) if models else None


def _columns(constraints: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    """Return the values of each constraint that was violated, (n,), NaN where it is not known.

    Of more than `MAX_MODELS`, those violated least often are taken together as their largest.
    """
    names = sorted({name for each in constraints for name in each})
    columns = {name: np.array([each.get(name, np.nan) for each in constraints]) for name in names}
    violated = {name: values for name, values in columns.items() if (values > 0.0).any()}
    if len(violated) <= MAX_MODELS:
        return violated
    often = sorted(violated, key=lambda name: (-int((violated[name] > 0.0).sum()), name))
    rest = np.stack([violated[name] / _scale(violated[name]) for name in often[MAX_MODELS - 1 :]])
    worst = np.fmax.reduce(rest, axis=0)  # ignores NaN where there is another value
    return {name: violated[name] for name in often[: MAX_MODELS - 1]} | {_WORST: worst}


def _targets(values: Array) -> tuple[Array, float]:
    """Return a constraint on a scale of mean 0 and spread 1, and its limit there.

    All zeros if it is the same everywhere. Large values are pressed together, so that differences
    around the limit count (as the bilog of Eriksson and Poloczek 2021, but in the constraint's own
    unit).
    """
    positive = values[values > 0.0]
    # Where 0 is met exactly, as in flags and penalties max(0, c), the limit is somewhere above it.
    limit = 0.5 * positive.min() if len(positive) and (values == 0.0).any() else 0.0
    bounded = bound(values)
    scale = _scale(bounded)
    curved = np.arcsinh(bounded / scale)
    spread = curved.std()
    if spread == 0.0:
        return np.zeros(len(values)), 0.0
    at_limit = np.arcsinh(min(limit, bounded.max()) / scale)
    return (curved - curved.mean()) / spread, float((at_limit - curved.mean()) / spread)


def _scale(values: Array) -> float:
    """Return the median size of a constraint where it is not 0."""
    sizes = np.abs(bound(values[~np.isnan(values)]))
    return float(np.median(sizes[sizes > 0.0])) if sizes.any() else 1.0


def _fit(
    values: Array,
    features: Array,
    groups: NDArray[np.intp],
    units: Array,
    memory: LastResult[Kernel],
) -> Kernel:
    size = fit_size(len(values))
    targets, limit = _targets(values[:size])
    rows = spread_rows(np.abs(targets - limit), MAX_FIT_ROWS)
    inputs = features[:size][rows], targets[rows], groups
    active = n_active(units[:size])
    return memory.of(lambda: fit_kernel(*inputs, active=active), *inputs, active)

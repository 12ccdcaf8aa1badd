"""What a sampler believes about the objective: a posterior over the study's own space.

The belief is a function of the study's trials alone. The only thing kept between asks is the last
fitted kernel, found again by the data it was fitted to.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._cost import learn_price
from optuna_evo.samplers._cost import Price
from optuna_evo.samplers._feasibility import Feasibility
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._feasibility import learn_feasibility
from optuna_evo.samplers._history import History
from optuna_evo.samplers._improvement import log_expected_improvement
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import MAX_FIT_ROWS
from optuna_evo.samplers._rows import MAX_ROWS
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import ActivityCondition
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import n_active
from optuna_evo.surrogates import Posterior
from optuna_evo.surrogates import Predictive
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.surrogates import warp
from optuna_evo.surrogates import warp_around


Array = NDArray[np.float64]

SHORTLIST = 200  # candidates of a joint draw
# ln P from which a candidate is likely feasible. The improvement that is left on the boundary of
# the feasible region would else win over any probability of being on its right side.
LOG_LIKELY = math.log(0.8)
_COST = "/cost"  # the name under which its kernel is remembered beside those of constraints
# Prior median of the noise variance, and spread of its logarithm. What a smooth process cannot
# follow, such as plateaus and failures to train, is noise to it; taken for signal it makes every
# length short. Where there is none, results say so.
ROUGHNESS = (1e-2, 2.5)
OPTIMISM = 2.5  # standard deviations below the mean by which they are chosen


@dataclass(frozen=True)
class Belief:
    """A posterior, and what is needed to ask it about candidates.

    `units` and `targets` are all observations, `known` also the running and failed trials.
    `feasibility` is None as long as constraints have excluded nothing.
    """

    encoding: SpaceEncoding
    rules: tuple[ActivityCondition, ...]
    units: Array  # (n, d)
    losses: Array  # (n,), finite
    violations: Array  # (n,), 0 where feasible
    targets: Array  # (n,), warped losses
    known: Array
    posterior: Predictive
    feasibility: Feasibility | None
    configurations: Sequence[Mapping[str, Any]]  # of the n observations, as they were suggested
    price: Price | None = field(default=None, kw_only=True)  # where cost is known and counts

    @property
    def ranked(self) -> Array:
        """The observations, the best first, (n, d)."""
        return self.units[np.argsort(merits(self.targets, self.violations), kind="stable")]

    @property
    def best_target(self) -> float | None:
        """The target of the best feasible observation; None without one."""
        feasible = self.targets[self.violations == 0.0]
        return float(feasible.min()) if len(feasible) else None

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
        features = self.features(candidates)
        mean, variance = self.posterior.mean_and_variance(features)
        promise = self._per_cost(mean - OPTIMISM * np.sqrt(variance), features)
        if self.feasibility is None:
            order = np.argsort(promise, kind="stable")
            return np.asarray(candidates[np.sort(order[:size])])
        # half of them where the constraints should be met, half where they may be
        likely = np.lexsort((promise, self.feasibility.violation(features)))[: size // 2]
        possible = np.lexsort((promise, self.feasibility.violation(features, OPTIMISM)))
        others = possible[~np.isin(possible, likely)][: size - len(likely)]
        return np.asarray(candidates[np.sort(np.concatenate([likely, others]))])

    def nominate(
        self, features: Array, n_draws: int, rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """Return the index of each posterior draw's own best candidate, (q,), features (m, c).

        That is Thompson sampling, as often as there are draws. A candidate whose drawn constraints
        are met is better than one whose are not.
        """
        drawn = self._per_cost(self.posterior.draw(features, n_draws, rng), features)
        if self.feasibility is None:
            return np.asarray(drawn.argmin(axis=1))
        violation = self.feasibility.draw_violation(features, n_draws, rng)
        rows = zip(drawn, violation, strict=True)
        return np.array([np.lexsort((values, violated))[0] for values, violated in rows])

    def best_of_draw(self, candidates: Array, rng: np.random.Generator) -> Array:
        """Return the candidate (m, d) at which one draw from the posterior is best, (d,)."""
        listed = self.shortlist(candidates)
        # f ~ p(f | data), then its minimiser: asynchronous as in Kandasamy et al. 2018
        return np.asarray(listed[self.nominate(self.features(listed), 1, rng)[0]])

    def log_acquisition(self, features: Array, mean: Array, variance: Array) -> Array:
        """Return ln of the expected improvement where the constraints are met, (m,).

        Without a feasible observation it is the probability that they are met.
        """
        best = self.best_target
        gain = np.zeros(len(mean))
        if best is not None:
            gain = log_expected_improvement(mean, np.sqrt(variance), best)
            if self.price is not None:
                gain = gain - self.price.log_cost(features)
        if self.feasibility is None:
            return gain
        log_probability = self.feasibility.log_probability(features)
        likely = log_probability >= LOG_LIKELY
        gain = gain + log_probability
        return np.where(likely, gain, -np.inf) if likely.any() else gain

    def _per_cost(self, targets: Array, features: Array) -> Array:
        """Return what orders candidates, lowest first, if they give these targets, (…, m)."""
        best = self.best_target
        if self.price is None or best is None:
            return targets
        return self.price.worth(targets, best, features)

    def features(self, candidates: Array) -> Array:
        """Return what the posterior sees of candidates: without parameters that do not apply."""
        return self.encoding.features(deactivate(candidates, self.rules))


def believe(
    history: History, memory: LastResult[Kernel], constraints: KernelMemory | None = None
) -> Belief:
    """Learn from a history with at least one observation."""
    encoding = SpaceEncoding(history.space, optional=history.optional)
    configurations = [o.params for o in history.observations]
    units = encoding.units(configurations)
    losses = bound(np.array([o.loss for o in history.observations]))
    violations = history.violations
    features, targets = encoding.features(units), learning_targets(losses, violations)
    kernel = _fit(encoding, units, features, losses, violations, memory)
    rows = spread_rows(merits(targets, violations), MAX_ROWS)
    running, failed = (complete_rows(encoding, part) for part in (history.running, history.failed))
    posterior = _with_unknown(
        condition(kernel, features[rows], targets[rows], encoding.groups),
        targets[rows],
        encoding.features(running),
        encoding.features(failed),
    )
    known = np.concatenate([units, running, failed])
    rules = learn_rules(units)
    return Belief(
        encoding,
        rules,
        units,
        losses,
        violations,
        targets,
        known,
        posterior,
        believe_feasible(history, units, encoding, constraints),
        configurations,
        price=believe_price(history, units, encoding, constraints),
    )


def believe_feasible(
    history: History, units: Array, encoding: SpaceEncoding, memory: KernelMemory | None
) -> Feasibility | None:
    """Learn the constraints of a history; None if they have excluded nothing."""
    constraints = [o.constraints for o in history.observations]
    if not any(constraints):
        return None
    kernels = {} if memory is None else memory
    return learn_feasibility(constraints, encoding, units, kernels)


def believe_price(
    history: History, units: Array, encoding: SpaceEncoding, memory: KernelMemory | None
) -> Price | None:
    """Learn what configurations cost; None where that is not known."""
    kernels = LastResult[Kernel]() if memory is None else memory.setdefault(_COST, LastResult())
    return learn_price(history.costs, encoding, units, kernels)


def learning_targets(losses: Array, violations: Array, *, distinct: bool = False) -> Array:
    """Return the scale on which losses are learned, finest around the best feasible one."""
    feasible = losses[violations == 0.0]
    if len(feasible) in (0, len(losses)):
        return warp(losses, distinct=distinct)
    return warp_around(losses, float(feasible.min()), distinct=distinct)


def merits(targets: Array, violations: Array) -> Array:
    """Return what orders observations, the lowest is best: violations first, then targets."""
    if not violations.any():
        return targets
    places = np.empty(len(targets))
    places[np.lexsort((targets, violations))] = np.arange(len(targets))
    return places


def _fit(
    encoding: SpaceEncoding,
    units: Array,
    features: Array,
    losses: Array,
    violations: Array,
    memory: LastResult[Kernel],
) -> Kernel:
    size = fit_size(len(losses))
    targets = learning_targets(losses[:size], violations[:size])
    rows = spread_rows(merits(targets, violations[:size]), MAX_FIT_ROWS)
    inputs = features[:size][rows], targets[rows], encoding.groups
    active = n_active(units[:size])
    return memory.of(lambda: fit_kernel(*inputs, noise=ROUGHNESS, active=active), *inputs, active)


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

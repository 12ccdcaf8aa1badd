"""What a trial costs: a Gaussian process over the logarithm of seconds, or of any positive number.

    n observations, m candidates, c feature columns, q draws

Where cost is known, a candidate's worth is its expected improvement divided by its predicted cost
to a power: 1 is "expected improvement per second" (Snoek, Larochelle and Adams 2012, section 3.2),
0 ignores cost. Lee, Perrone, Archambeau and Seeger 2020 cool the power from 1 to 0 as a budget is
used up. A sampler knows no budget; a fixed power between the two did at least as well on recorded
tables as 1, as one that falls with the cost spent, and as 1 and 0 in turn.
"""

from dataclasses import dataclass
import math
from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import condition
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import n_active
from optuna_evo.surrogates import Predictive
from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]

SECONDS: Final = "seconds"
MIN_COSTS: Final = 4  # observations from which a model of cost is learned
MAX_FIT_ROWS: Final = 64  # costs are smooth: fewer rows than the objective's tell the lengths
MAX_ROWS: Final = 128
POWER: Final = 0.5  # of the cost by which improvement is divided
LEAST_GAIN: Final = 1e-3  # standard deviations below which a draw promises none
NO_GAIN: Final = -30.0  # in these: from here on ln(1 + exp(x)) is exp(x)


@dataclass(frozen=True)
class Price:
    """The posterior of ln cost, which is `center` + `spread` times the process."""

    posterior: Predictive
    center: float
    spread: float
    low: float
    high: float

    def log_cost(self, candidates: Array) -> Array:
        """Return what ln cost counts for at candidates (m, c): times the power, (m,)."""
        mean, _ = self.posterior.mean_and_variance(candidates)
        # beyond what was ever seen it would be a guess
        return POWER * np.clip(self.center + self.spread * mean, self.low, self.high)

    def worth(self, losses: Array, best: float, candidates: Array) -> Array:
        """Return -ln of the gain on the best per cost, lower is better.

        Args:
            losses: What candidates are taken to give, (m,) or (q, m).
            best: The best result.
            candidates: Features, (m, c).
        """
        steps = (best - losses) / LEAST_GAIN
        # ln of a gain that is never quite 0, so that of two losses the lower one is worth more
        soft = np.log(np.logaddexp(0.0, np.maximum(steps, NO_GAIN)))
        return self.log_cost(candidates) - np.where(steps < NO_GAIN, steps, soft)


def checked_cost(cost: str | None) -> str | None:
    """Return an argument `cost` as it is.

    Raises:
        ValueError: If it is no text, or an empty one.
    """
    if cost is not None and not (isinstance(cost, str) and cost.strip()):
        raise ValueError(
            f'`cost` must be "seconds" or the name of a user attribute of trials, got {cost!r}.'
        )
    return cost


def cost_of(trial: FrozenTrial, cost: str) -> float:
    """Return what a trial has cost; NaN where that is not known, or no positive number.

    Args:
        trial: The trial.
        cost: A user attribute, or "seconds": the duration of the trial.

    Example:
        >>> from optuna.trial import create_trial
        >>> cost_of(create_trial(value=1.0, user_attrs={"gpu_hours": 2}), "gpu_hours")
        2.0
    """
    value: Any = trial.user_attrs.get(cost)
    if cost == SECONDS and trial.duration is not None:
        value = trial.duration.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if 0.0 < value < math.inf else math.nan


def learn_price(
    costs: Array,
    encoding: SpaceEncoding,
    units: Array,
    memory: LastResult[Kernel],
) -> Price | None:
    """Learn what configurations cost; None if too few costs are known, or all are equal.

    Args:
        costs: Those of n observations, (n,), NaN where they are not known.
        encoding: The space.
        units: The observations, (n, d).
        memory: The kernel that was fitted last.
    """
    known = np.flatnonzero(~np.isnan(costs))
    if len(known) < MIN_COSTS:
        return None
    logs, groups = np.log(costs[known]), encoding.groups
    inputs = encoding.features(units[known])
    center, spread = float(logs.mean()), float(logs.std())
    if spread < 1e-6:
        return None
    size = fit_size(len(known))
    first = logs[:size]
    fitted = spread_rows(np.arange(size, dtype=np.float64), MAX_FIT_ROWS)
    scale = float(first.std()) or 1.0
    data = inputs[:size][fitted], (first[fitted] - first.mean()) / scale, groups
    active = n_active(units[known][:size])
    kernel = memory.of(lambda: fit_kernel(*data, active=active), *data, active)
    rows = spread_rows(np.arange(len(known), dtype=np.float64), MAX_ROWS)
    posterior = condition(kernel, inputs[rows], (logs[rows] - center) / spread, groups)
    return Price(posterior, center, spread, float(logs.min()), float(logs.max()))

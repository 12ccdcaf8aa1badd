"""The recurrence: the next value of a hyperparameter from the last.

    theta_{t+1} = rho_t * theta_t + (1 - rho_t) * theta_new
    theta_new   = f(theta_t, s_t) + eta_t,    T_{t+1} = alpha * T_t

Numbers are mixed as units: their place in the range, in log space for log ranges. f goes on in the
direction of the last change where that paid, and back where it did not; where the norm of the
gradient has grown, it divides annealed parameters, such as the learning rate, by the same factor
(2 at most). Annealed parameters are multiplied by alpha too, whatever else happens to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Any

from numpy.random import Generator
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution

from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._options import check_between
from optuna_evo.surrogates import Axis


__all__ = [
    "cooldown",
    "published_annealing",
    "published_factors",
    "published_step",
    "recurrent_step",
    "retained",
    "StepSettings",
]

# Factors of the published rule: a mutation, and what happens else where a value is not kept.
MUTATION_FACTORS = (0.9, 1.1)
DRIFT_FACTORS = (0.95, 1.05)
ROUNDS_BETWEEN_ANNEALING = 10
MAX_GRAD_CHANGE = math.log(2.0)
# Where cooldown begins, as a share of all trials, and the least that is left of a value.
COOLDOWN_START, LEAST_SHARE, LENGTH_POWER = 0.5, 0.02, -0.2


@dataclass(frozen=True)
class StepSettings:
    """What does not change during a study.

    Args:
        retention: rho of a member in the middle of the ranking.
        mutation_prob: Probability that a parameter gets noise.
        noise: Standard deviation of eta at temperature 1, in units of the range.
        momentum: How much of its last change a parameter goes on by when that paid.
        anneal: The factor of each parameter that cools, in (0, 1].
        cooling: alpha, the factor of the temperature.

    Raises:
        ValueError: If a number is out of range.
    """

    retention: float
    mutation_prob: float
    noise: float
    momentum: float
    anneal: Mapping[str, float]
    cooling: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_between("retention", self.retention, 0.0, 1.0)
        check_between("mutation_prob", self.mutation_prob, 0.0, 1.0)
        check_between("noise", self.noise, 0.0, 10.0)
        check_between("momentum", self.momentum, 0.0, 10.0)
        if not 0.0 < self.cooling <= 1.0:
            raise ValueError(f"`cooling` must be in (0, 1], got {self.cooling}.")


def retained(settings: StepSettings, feedback: Feedback) -> float:
    """Return rho_t, from 1 for the best member over `retention` to its square for the worst."""
    return float(settings.retention ** (2.0 * feedback.rank))


def recurrent_step(
    settings: StepSettings,
    name: str,
    distribution: BaseDistribution,
    *,
    value: Any,
    previous: Mapping[str, Any],
    feedback: Feedback,
    rho: float,
    noise_scale: float,
    rng: Generator,
) -> Any:
    """Return theta_{t+1} of one parameter.

    Args:
        settings: What does not change.
        name: Name of the parameter.
        distribution: Its range.
        value: theta_t.
        previous: The parameters of the segment before, as far as it had them.
        feedback: s_t.
        rho: rho_t.
        noise_scale: Factor of the noise.
        rng: Source of randomness.
    """
    keeps, mutates, u, z = rng.random(), rng.random(), rng.random(), rng.standard_normal()
    if isinstance(distribution, CategoricalDistribution):
        return value if keeps < rho else draw(u, distribution)
    axis = Axis.of(name, distribution)
    theta = _unit(axis, value)
    new = theta
    # theta_new = f(theta_t, s_t) + eta_t, in the three steps that follow
    if name in settings.anneal and feedback.grad_change > 0.0:
        new = _unit(axis, value * math.exp(-min(feedback.grad_change, MAX_GRAD_CHANGE)))
    if name in previous:
        new += settings.momentum * feedback.gain * (theta - _unit(axis, previous[name]))
    if mutates < settings.mutation_prob:
        new += settings.noise * noise_scale * z
    if rho == 1.0 or new == theta:
        # nothing changes it: not even the rounding of rho * x + (1 - rho) * x, or of exp(ln x)
        return _anneal(settings, name, distribution, value)
    # theta_{t+1} = rho_t * theta_t + (1 - rho_t) * theta_new
    mixed = axis.value(_reflect(rho * theta + (1.0 - rho) * new))
    return _anneal(settings, name, distribution, mixed)


def published_factors(settings: StepSettings, rng: Generator) -> tuple[float, float] | None:
    """Return between what factors the published rule changes a configuration; None: it keeps it.

    One pair of coins for the whole configuration: with `mutation_prob` all of it mutates, else
    with probability `retention` all of it stays, else all of it drifts.
    """
    mutates, keeps = rng.random() < settings.mutation_prob, rng.random() < settings.retention
    if mutates:
        return MUTATION_FACTORS
    return None if keeps else DRIFT_FACTORS


def published_step(
    settings: StepSettings,
    name: str,
    distribution: BaseDistribution,
    *,
    value: Any,
    factors: tuple[float, float] | None,
    rng: Generator,
) -> Any:
    """Return the next value of one parameter by the published rule.

    A number is multiplied by a factor of its own between `factors`. Categories, of which the rule
    does not speak, are drawn anew where the configuration mutates.
    """
    u = rng.random()
    if isinstance(distribution, CategoricalDistribution):
        return draw(u, distribution) if factors == MUTATION_FACTORS else value
    low, high = factors or (1.0, 1.0)
    return _anneal(settings, name, distribution, value * (low + (high - low) * u))


def cooldown(progress: float, length: float) -> float:
    """Return what a value is multiplied by at a place of the study and of its lineage.

    What wins a short race is too high for a long training: the best learning rate falls with the
    length of the training (Bjorck et al. 2024, arXiv:2409.19913, by a power of about -0.3; -0.2
    did better here). So it follows the length of the lineage, and goes to nearly nothing towards
    the end of the study.

    Args:
        progress: Share of the study's trials that have ended.
        length: Length of the lineage in units of the race's.

    Example:
        >>> [cooldown(progress, 1.0) for progress in (0.0, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.02]
        >>> round(cooldown(0.5, 32.0), 3)
        0.5
    """
    towards_end = max(min(1.0, (1.0 - progress) / (1.0 - COOLDOWN_START)), LEAST_SHARE)
    return float(towards_end * max(length, 1.0) ** LENGTH_POWER)


def published_annealing(index: int) -> float:
    """Return what the published rule multiplies annealed parameters of a segment by.

    Args:
        index: The segment, counted from 0 along its lineage.

    Example:
        >>> [round(published_annealing(index), 3) for index in (0, 1, 2, 11)]
        [1.0, 0.368, 1.0, 0.607]
    """
    done = index - 1  # the round before it, counted from 0
    if done < 0 or done % ROUNDS_BETWEEN_ANNEALING:
        return 1.0
    return math.exp(-1.0 / (1.0 + 0.1 * done))


def _anneal(settings: StepSettings, name: str, distribution: BaseDistribution, value: Any) -> Any:
    return fit(value * settings.anneal[name] if name in settings.anneal else value, distribution)


def _unit(axis: Axis, value: Any) -> float:
    return float(axis.units([{axis.name: value}])[0])


def _reflect(unit: float) -> float:
    folded = math.fmod(abs(unit), 2.0)
    return 2.0 - folded if folded > 1.0 else folded

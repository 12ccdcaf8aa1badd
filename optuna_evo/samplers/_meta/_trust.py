"""Whether the sources are of use for a study, judged by how they order its results.

    n observations, S sources

Each source is a hypothesis, each turned upside down is another, and that none is of any use is one
more. A useful source orders most pairs of results as they turn out, the more surely the farther
apart it predicts them; to one of no use every order is a coin's throw. Pairs repeat each other's
evidence, so n results count as n - 1 pairs.
"""

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr


Array = NDArray[np.float64]

USEFUL = 0.75  # probability, before any evidence, that one of the sources is of use
OPPOSITE = 0.1  # that one of them is upside down
SLIPS = 0.1  # of pairs that a useful source orders wrongly, however far apart it predicts them
GAP = 1.0  # standard deviations between two predictions at which their order is fairly sure


@dataclass(frozen=True)
class Trust:
    """What is believed of the sources.

    Attributes:
        useful: The probability that one of them is of use, in (0, 1).
        opposite: The probability that one of them is upside down, in (0, 1).
        shares: How much each is believed relative to the others if one is of use, (S,), sum 1.
        balance: The probability that each is of use, less that it is upside down, (S,).
    """

    useful: float
    opposite: float
    shares: Array
    balance: Array

    @classmethod
    def before(cls, prior: Array) -> "Trust":
        """Return what is believed without evidence, by shares (S,), sum 1."""
        return cls(USEFUL, OPPOSITE, prior, prior * (USEFUL - OPPOSITE))

    @property
    def informative(self) -> float:
        """The probability that the sources tell something, upside down or not."""
        return self.useful + self.opposite


def trust(means: Array, results: Array, prior: Array) -> Trust:
    """Judge the sources by the order of results.

    Args:
        means: What the sources predict for the observations, (n, S).
        results: What came out, on any increasing scale, lower is better, (n,).
        prior: Shares before any evidence, (S,), sum 1.
    """
    if len(results) < 2:
        return Trust.before(prior)
    with np.errstate(divide="ignore"):  # a share may have become 0
        start = np.log(prior)
    upright = start + math.log(USEFUL) + order_evidence(means, results)
    turned = start + math.log(OPPOSITE) + order_evidence(-means, results)
    neither = math.log(1.0 - USEFUL - OPPOSITE)
    highest = max(float(upright.max()), float(turned.max()), neither)
    useful, opposite = np.exp(upright - highest), np.exp(turned - highest)
    total = useful.sum() + opposite.sum() + math.exp(neither - highest)
    balance = (useful - opposite) / total
    # of the least likely ones too something is left, so the sum is positive
    shares = np.exp(upright - upright.max())
    return Trust(
        float(useful.sum() / total), float(opposite.sum() / total), shares / shares.sum(), balance
    )


def order_evidence(means: Array, results: Array) -> Array:
    """Return ln of how much likelier each source makes the order of results than chance, (S,)."""
    first, second = np.triu_indices(len(results), 1)
    order = np.sign(results[first] - results[second])[:, None]
    sure = (1.0 - 2.0 * SLIPS) * (2.0 * ndtr((means[first] - means[second]) / GAP) - 1.0)
    # twice the probability of the order that came out; of a tie, the mean of both logarithms:
    # where a source promised a difference, that there is none speaks against it, however turned
    told = np.log1p(order * sure)
    tied = 0.5 * np.log1p(-(sure**2))
    pairs = np.where(order != 0.0, told, tied)
    return np.asarray(pairs.sum(axis=0) * 2.0 / len(results))

"""When the inner trainings of antithetic pairs begin and end, and what perturbs them.

All of it is a function of a few numbers and of the meta-losses that everybody is told, so each
process of a meta-training knows it of all pairs; only the trainings themselves are divided.

Shape legend: n pairs, D meta-parameters.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.errors import SpecError
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._seeds import training_seed


__all__ = ["Beginning", "Episodes", "Horizons", "perturbations"]

_EPISODES, _EPSILONS, _LENGTHS = 1, 2, 3  # streams


@dataclass(frozen=True, kw_only=True)
class Horizons:
    """How long inner trainings are: a curriculum.

    Args:
        low, high: Their range in the end; lengths are log-uniform, multiples of the truncation.
        first: The longest at the beginning; None: `high`.
        growth: Outer steps until `high` is reached, along a straight line in its logarithm.

    Raises:
        SpecError: Unless 1 <= low <= high, first >= 1 and growth >= 0.
    """

    low: int = 100
    high: int = 100
    first: int | None = None
    growth: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high or self.growth < 0 or (self.first or 1) < 1:
            raise SpecError(
                "`horizon` needs 1 <= low <= high, first >= 1 and growth >= 0, got "
                f"low={self.low}, high={self.high}, first={self.first}, growth={self.growth}."
            )

    def draw(self, outer_step: int, truncation: int, random: torch.Generator) -> int:
        """Return the length of a training that begins now."""
        high = math.log(self.high)
        if self.first is not None and outer_step < self.growth:
            share = outer_step / self.growth
            high = math.log(self.first) + share * math.log(self.high / self.first)
        low = min(math.log(self.low), high)
        drawn = math.exp(low + float(torch.rand((), generator=random)) * (high - low))
        return max(1, round(drawn / truncation)) * truncation


class Beginning(NamedTuple):
    """A training that begins: of which pair, on which task, and how long it is told to be."""

    pair: int
    task_seed: int
    total_steps: int


def perturbations(
    seed: int, stack: int, outer_step: int, shape: tuple[int, int], std: float
) -> Tensor:
    """Return the eps of a stack's pairs in an outer step, (n, D), on the CPU."""
    random = generator(seed, stack, _EPSILONS, outer_step)
    return std * torch.randn(shape, generator=random)


class Episodes:
    """The episodes of a stack of pairs.

    Args:
        n_pairs: Number of pairs.
        n_meta: Number of meta-parameters.
        seed: Of the meta-training.
        stack: Number of the stack among those of the meta-training.
        horizons: Lengths of episodes.
        truncation: Inner steps in an outer step; None: an outer step is a whole episode.
        std: Standard deviation of the perturbations.
    """

    def __init__(
        self,
        *,
        n_pairs: int,
        n_meta: int,
        seed: int,
        stack: int,
        horizons: Horizons,
        truncation: int | None,
        std: float,
    ) -> None:
        self._seed, self._stack, self._std = seed, stack, std
        self._horizons, self._truncation = horizons, truncation
        self.summed = torch.zeros(n_pairs, n_meta)  # the perturbations of each episode so far
        self.eps = torch.zeros(n_pairs, n_meta)  # those of this outer step
        self._episode = [-1] * n_pairs
        self._done = [0] * n_pairs
        self._end = [0] * n_pairs
        self._n_steps = truncation or 1

    @property
    def n_steps(self) -> int:
        """Inner steps of this outer step."""
        return self._n_steps

    def begin(self, outer_step: int) -> list[Beginning]:
        """Draw this outer step's perturbations; return the trainings that begin anew."""
        if self._truncation is None:  # of one length, since they are one stack
            random = generator(self._seed, self._stack, _LENGTHS, outer_step)
            self._n_steps = self._horizons.draw(outer_step, 1, random)
        over = [p for p, end in enumerate(self._end) if self._done[p] >= end]
        begun = [self._begin(pair, outer_step) for pair in over]
        shape = (len(self.summed), self.summed.shape[1])
        self.eps = perturbations(self._seed, self._stack, outer_step, shape, self._std)
        self.summed = self.summed + self.eps
        self._done = [done + self._n_steps for done in self._done]
        return begun

    def end(self, pairs: Sequence[int]) -> None:
        """End the episodes of these pairs: they begin new ones in the next outer step."""
        for pair in pairs:
            self._end[pair] = self._done[pair]

    def gradient(self, losses: Tensor) -> Tensor:
        """Return the estimate of the meta-gradient, (D,).

        Vicol et al. 2021 (arXiv:2112.13835), equation 9, with antithetic pairs: the mean over
        pairs of the sum of an episode's perturbations times (L+ - L-) / (2 std^2).

        Args:
            losses: Mean meta-losses of the two members of each pair, (n, 2).
        """
        weights = (losses[:, 0] - losses[:, 1]) / (2 * self._std**2)
        return (weights.unsqueeze(1) * self.summed.double()).mean(0).float()

    def _begin(self, pair: int, outer_step: int) -> Beginning:
        self._episode[pair] += 1
        words = (self._seed, self._stack, _EPISODES, pair, self._episode[pair])
        random = generator(*words)
        self._done[pair] = 0
        self.summed[pair] = 0
        if self._truncation is None:
            self._end[pair] = self._n_steps
            return Beginning(pair, training_seed(*words), self._n_steps)
        total = self._horizons.draw(outer_step, self._truncation, random)
        self._end[pair] = total
        if self._episode[pair] == 0:  # those that begin together would end together: spread them
            n = total // self._truncation
            spread = int(torch.randint(1, n + 1, (), generator=random))
            self._end[pair] = self._truncation * spread
        return Beginning(pair, training_seed(*words), total)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that the episodes go on from, as tensors and plain numbers."""
        plain = {"episode": [*self._episode], "done": [*self._done], "end": [*self._end]}
        return {"summed": self.summed}, plain

    def load(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.summed = tensors["summed"].clone()
        self._episode, self._done = [*plain["episode"]], [*plain["done"]]
        self._end = [*plain["end"]]

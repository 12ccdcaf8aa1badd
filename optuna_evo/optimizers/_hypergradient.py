"""Hypergradient descent: the learning rate of any rule adapts during the run.

The derivative of the loss with respect to the logarithm of the last step's learning rate is the
inner product of the present gradient with the last change of the weights, for every rule: the
change is proportional to its learning rate. Baydin et al., 2018 (arXiv:1703.04782) descend along
it. Here its cosine is descended, by Adam's normalisation: without units, so that one rate fits
models and losses of any scale.

Shape legend: P members of T tensors, G learning rates of a member (1 or T).
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.optimizers._constant import ConstantRule
from optuna_evo.optimizers._scale import scale_steps
from optuna_evo.rules import Coefficients
from optuna_evo.rules import DirectedCoefficients
from optuna_evo.rules import FROZEN
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import Observation
from optuna_evo.rules import UpdateRule


__all__ = ["HypergradientRule"]

# Of the squared cosines: as slow as Adam's would be for runs of some hundred steps.
_SQUARE_DECAY = 0.99
# Too short a step costs some steps until it has grown, too long a one costs the network. Measured
# on digits from 100 times the tuned rate: 1, that is no retreat, ends at 2 to 3 times the loss of
# tuned Adam, 10 to 100 at 1.0 to 1.15 times.
_RETREAT = 30.0


class HypergradientRule:
    """An update rule whose learning rate adapts: it grows while steps point the same way.

    What it wraps may be a genome, with warm-up and cosine of its own, or another rule, such as a
    learned optimizer. A step longer than the largest norm of a member's weights so far is taken
    back, and the learning rate is set to a thirtieth of the one that would have moved them so far:
    a first step of a hundred times the right size does no harm. It keeps a copy of the weights.

    Args:
        rule: What computes the steps.
        rate: The most that the logarithm of the learning rate changes in a step, about; >= 0.
        smoothing: Share of the past in the average of cosines, in [0, 1).
        max_move: The longest step that is not taken back, in norms of the weights; > 0.
        per_tensor: A learning rate for each tensor, not one for all.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> from optuna_evo import catalog, EvolvedOptimizer, HypergradientRule
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = EvolvedOptimizer(model.parameters(), HypergradientRule(catalog["adam"]))
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(2, 4)).square().sum().backward()
        ...     optimizer.step()
        >>> (scale,) = optimizer.state_dict()["coefficients"][0]["log_scale"][0].exp()
    """

    observes = True

    def __init__(
        self,
        rule: Genome | UpdateRule,
        *,
        rate: float = 0.1,
        smoothing: float = 0.8,
        max_move: float = 1.0,
        per_tensor: bool = False,
    ) -> None:
        if not rate >= 0:
            raise UsageError(f"`rate` must be >= 0, got {rate}.")
        if not max_move > 0:
            raise UsageError(f"`max_move` must be > 0, got {max_move}.")
        if not 0 <= smoothing < 1:
            raise UsageError(f"`smoothing` must be in [0, 1), got {smoothing}.")
        self._rule = rule
        self.rate = rate
        self.smoothing = smoothing
        self.max_move = max_move
        self.per_tensor = per_tensor

    @property
    def needs(self) -> Needs:
        """The averages that the wrapped rule reads."""
        return self._rule.rule.needs if isinstance(self._rule, Genome) else self._rule.needs

    def fingerprint(self) -> str:
        """Return the settings and the fingerprint of the wrapped rule."""
        own = f"{self.rate:g}-{self.smoothing:g}-{self.max_move:g}-{self.per_tensor:d}"
        return f"hypergradient-{own}-{self._rule.fingerprint()}"

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> Coefficients:
        """Return the coefficients of a run, whose learning rates are those of the rule yet."""
        rule = self._rule
        inner = ConstantRule([rule.rule] * n_members) if isinstance(rule, Genome) else rule
        n_rates = len(layout) if self.per_tensor else 1
        zeros = torch.zeros(n_members, n_rates, dtype=torch.float64, device=device)
        return _Adapting(self, inner.start(layout, n_members, total_steps, device), zeros)


class _Adapting:
    """The coefficients of a `HypergradientRule`; `zeros` says their shape (P, G)."""

    def __init__(self, rule: HypergradientRule, inner: Coefficients, zeros: Tensor) -> None:
        self._rule, self._inner = rule, inner
        self._log_scale = zeros.clone()  # (P, G)
        self._mean = zeros.clone()  # (P, G), of cosines
        self._square = zeros.clone()  # (P, G), of squared ones
        self._count = zeros[:, :1].clone()  # (P, 1), of cosines seen
        self._size = zeros[:, 0].clone()  # (P,), the largest squared norm of the weights so far
        self._taken_back = zeros[:, 0] > 0  # (P,), whether this step takes back the last
        self._is_first = zeros[:, 0] == 0  # (P,), whether there is no last step yet
        self._last: list[Tensor] | None = None  # T of (P, *shape): the weights a step ago

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        """Return the rule's own directions; where the last step is taken back, that step."""
        if self._last is None:
            self._last = [p.clone() for p in seen.params]
        moved = [p - last for p, last in zip(seen.params, self._last, strict=True)]
        self._learn(seen, moved)
        self._is_first = torch.zeros_like(self._is_first)
        for last, p in zip(self._last, seen.params, strict=True):
            last.copy_(_where(self._taken_back, last, p))
        if not isinstance(self._inner, DirectedCoefficients):
            return moved  # their coefficient is 0 where no step is taken back
        own = self._inner.directions(step, seen)
        return [
            _where(self._taken_back, back, d.to(back)) for back, d in zip(moved, own, strict=True)
        ]

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the rule's numbers with their steps scaled."""
        numbers = self._inner.numbers(step, seen)  # (P, 1 or T, n)
        n_rows = max(numbers.shape[1], self._log_scale.shape[1])
        numbers = scale_steps(numbers.expand(-1, n_rows, -1), self._log_scale.exp())
        back = numbers.new_tensor(FROZEN)
        back[NUMBERS.index("dense")] = 1.0
        return torch.where(self._taken_back.view(-1, 1, 1), back, numbers)

    def select(self, index: Tensor) -> None:
        """Go on with these members."""
        self._inner.select(index)
        self._take({name: tensor[index] for name, tensor in self._own().items()})
        if self._last is not None:
            self._last = [last[index] for last in self._last]

    def restart(
        self, members: Sequence[int], step: int, *, total_steps: Sequence[int] | None = None
    ) -> None:
        """Begin the runs of some members anew, for rules that can."""
        self._inner.restart(members, step, total_steps=total_steps)  # type: ignore[attr-defined]
        for name, tensor in self._own().items():
            tensor[list(members)] = name == "is_first"

    def state_dict(self) -> dict[str, Any]:
        """Return learning rates, averages and the last weights."""
        last = None if self._last is None else [t.clone() for t in self._last]
        own = {name: t.clone() for name, t in self._own().items()}
        return {**own, "last": last, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._inner.load_state_dict(state["inner"])
        self._take({name: state[name].to(own).clone() for name, own in self._own().items()})
        self._last = None if state["last"] is None else [t.clone() for t in state["last"]]

    def _own(self) -> dict[str, Tensor]:
        return {
            "log_scale": self._log_scale,
            "mean": self._mean,
            "square": self._square,
            "count": self._count,
            "size": self._size,
            "taken_back": self._taken_back,
            "is_first": self._is_first,
        }

    def _take(self, own: Mapping[str, Tensor]) -> None:
        for name, tensor in own.items():
            setattr(self, f"_{name}", tensor)

    def _learn(self, seen: Observation, moved: Sequence[Tensor]) -> None:
        """Change the learning rates by what the last step did."""
        assert self._last is not None
        rule, smoothing = self._rule, self._rule.smoothing
        # weights on their way through 0 are small for a while, and no reason to be careful
        self._size = self._size.maximum(_dots(self._last, self._last).sum(1))
        step = _dots(moved, moved).sum(1)
        move = torch.where(self._size > 0, step / self._size, 0.0).sqrt() / rule.max_move  # (P,)
        is_news = ~(self._taken_back | self._is_first)
        too_far = is_news & ~(move <= 1)
        counts = (is_news & ~too_far).unsqueeze(1)  # (P, 1)
        cosine = _cosines(seen.grads, moved, per_tensor=rule.per_tensor)  # (P, G)
        mean = self._mean.lerp(cosine, 1 - smoothing)
        square = self._square.lerp(cosine.square(), 1 - _SQUARE_DECAY)
        self._mean = torch.where(counts, mean, self._mean)
        self._square = torch.where(counts, square, self._square)
        self._count = self._count + counts
        n = self._count.clamp_min(1)
        rms = (self._square / (1 - _SQUARE_DECAY**n)).sqrt().clamp_min(1e-12)
        change = -rule.rate * self._mean / (1 - smoothing**n) / rms
        retreat = -torch.log(_RETREAT * move.nan_to_num(1e6, 1e6)).unsqueeze(1)
        kept = torch.where(counts, change, 0.0)
        self._log_scale = self._log_scale + torch.where(too_far.unsqueeze(1), retreat, kept)
        self._taken_back = too_far


def _cosines(grads: Sequence[Tensor], moved: Sequence[Tensor], *, per_tensor: bool) -> Tensor:
    """Return the cosines between gradients and steps, (P, G); 0 where one of them is."""
    sums = [_dots(grads, moved), _dots(grads, grads), _dots(moved, moved)]  # (P, T) each
    if not per_tensor:
        sums = [s.sum(1, keepdim=True) for s in sums]
    inner, size = sums[0], (sums[1] * sums[2]).sqrt()
    return torch.where(size > 0, inner / size, 0.0).nan_to_num(0.0)


def _dots(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the inner products over each tensor of each member, (P, T)."""
    pairs = zip(a, b, strict=True)
    products = [torch.linalg.vecdot(_rows(x), _rows(y.to(x))) for x, y in pairs]
    return torch.stack(products, dim=1).double()


def _rows(stacked: Tensor) -> Tensor:
    rows = stacked.reshape(len(stacked), -1)
    return rows.float() if rows.dtype.itemsize < 4 else rows  # half types overflow


def _where(members: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(members.view(-1, *[1] * (a.ndim - 1)), a, b)

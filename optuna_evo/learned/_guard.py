"""A guard around a learned optimizer: it trains on only from where it was better than a fallback.

After LGL2O ("Guarded Learned Optimization", ICML 2022): two trainings start from one point, each
with gradients of its own, and every so many steps the learned one, or both, go on from the better
of the two. So what is learned helps where it can, and costs a window of steps where it cannot.
"""

from collections.abc import Callable
from collections.abc import Iterable
import copy
import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.rules import Genome


__all__ = ["LossGuard"]

_LAST_SHARE = 5  # of the losses since a choice, this part is looked at: what the trainings came to


class LossGuard:
    """Train by two optimizers at once, and every `every` steps keep the better weights.

    A step calls the closure twice, once for each training, so it costs two gradients. What is
    better is said by `evaluate`, or else by the mean of the last losses that the closures
    returned, a fifth of those since the last choice; NaN is worse than anything. The loser takes
    the winner's weights, and the averages that both keep. A controller that loses also goes back
    to its state at the last choice, so what has become infinite in it does not stay.

    An anchored guard leaves the fallback's training alone: only what is learned takes weights
    over. So by the loss that chooses, what `settle` leaves is never worse than the fallback by
    itself. Otherwise both go on from the better, as in the paper: that can gain more, but a good
    beginning can lead the fallback to a worse end (measured: up to 3 times its test loss).

    Between choices the parameters hold the learned training's weights; after a choice, and after
    `settle`, the better ones. With a fallback that always wins, the training is the fallback's,
    bit for bit.

    Args:
        rule: The guarded optimizer, such as a `LearnedOptimizer`.
        fallback: The safe one over the same parameters, or a genome.
        every: Steps from one choice to the next, >= 1; without `evaluate` >= 2: a loss is of the
            weights before a step.
        margin: The learned training is better if its loss is less than 1 - `margin` times the
            fallback's, in [0, 1): against the noise of few validation rows.
        anchored: Whether the fallback's training is left alone. False: both go on from the better.
        buffers: Other tensors that a step changes, such as the statistics of batch normalisation,
            `model.buffers()`: each training has its own.
        evaluate: Returns the loss of the model as it is, such as on validation rows; called twice
            a choice, without gradients.

    Raises:
        UsageError: If the optimizers have other parameters, or `every` is not positive (a
            ValueError).

    Example:
        >>> from optuna_evo import catalog, LearnedOptimizer
        >>> from optuna_evo.learned import MLPController
        >>> model, batch = torch.nn.Linear(4, 1), torch.ones(2, 4)
        >>> learned = LearnedOptimizer(model.parameters(), MLPController(), total_steps=100)
        >>> guard = LossGuard(learned, catalog["adam"])
        >>> def closure():
        ...     guard.zero_grad()
        ...     loss = model(batch).square().mean()
        ...     loss.backward()
        ...     return loss
        >>> for _ in range(100):
        ...     loss = guard.step(closure)
        >>> guard.settle()
    """

    def __init__(
        self,
        rule: torch.optim.Optimizer,
        fallback: torch.optim.Optimizer | Genome,
        *,
        every: int = 25,
        margin: float = 0.0,
        anchored: bool = True,
        buffers: Iterable[Tensor] = (),
        evaluate: Callable[[], float | Tensor] | None = None,
    ) -> None:
        least = 1 if evaluate is not None else 2
        if not isinstance(every, int) or isinstance(every, bool) or every < least:
            raise UsageError(
                f"`every` must be a number of steps from {least} on, got {every!r:.40}."
            )
        if not 0 <= margin < 1:
            raise UsageError(f"`margin` must be in [0, 1), got {margin!r:.40}.")
        params = _parameters(rule)
        if isinstance(fallback, Genome):
            total_steps = rule.param_groups[0].get("total_steps")
            fallback = EvolvedOptimizer(params, fallback, total_steps=total_steps)
        if [id(p) for p in params] != [id(p) for p in _parameters(fallback)]:
            raise UsageError(
                "Both optimizers of a guard must have the same parameters in the same order: "
                "build them from one list."
            )
        self.rule, self.fallback = rule, fallback
        self._every, self._evaluate = every, evaluate
        self._margin, self._anchored = margin, anchored
        self._params = params
        self._held = [*params, *buffers]  # what the trainings have each for itself
        self._other = [t.detach().clone() for t in self._held]  # the fallback's
        self._losses: list[tuple[float | Tensor, float | Tensor]] = []  # since the last choice
        self._safe = _coefficients(rule)
        self.choices: list[bool] = []  # whether the learned training was the better one

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the guarded optimizer."""
        return self.rule.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.rule.zero_grad(set_to_none=set_to_none)

    def step(self, closure: Callable[[], float | Tensor]) -> float | Tensor:
        """Do a step of both trainings.

        Args:
            closure: Clears gradients, evaluates the model on the batch of this step, calls
                `backward` and returns the loss; called once for each training.

        Returns:
            The loss of the guarded training before the step, as the closure returned it.
        """
        losses: list[float | Tensor] = []
        for optimizer in (self.rule, self.fallback):
            with torch.enable_grad():
                loss = closure()
            losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
            optimizer.step()
            self._swap()
        learned, safe = losses
        self._losses.append((learned, safe))  # read when they are needed: no step waits for them
        if len(self._losses) == self._every:
            self.settle()
        return learned

    @torch.no_grad()
    def settle(self) -> bool:
        """Go on from the better of both trainings; return whether that is the learned one."""
        if not self._losses:
            return True
        if self._evaluate is None:
            last = self._losses[-max(1, len(self._losses) // _LAST_SHARE) :]
            values = [sum(_finite(float(pair[i])) for pair in last) for i in range(2)]
        else:
            values = []
            for _ in range(2):
                values.append(_finite(float(self._evaluate())))
                self._swap()
        learned_is_better = _is_less(values[0], values[1], self._margin)
        if not learned_is_better:
            self._swap()  # the parameters hold the better weights
            self._take_over(self.fallback, self.rule)
            if self._safe is not None:
                _restore(self.rule, self._safe)
        elif not self._anchored:
            self._take_over(self.rule, self.fallback)
        self._safe = _coefficients(self.rule)
        self._losses.clear()
        self.choices.append(learned_is_better)
        return learned_is_better

    def state_dict(self) -> dict[str, Any]:
        """Return what a guard of equal optimizers goes on from, bit for bit."""
        return {
            "rule": self.rule.state_dict(),
            "fallback": self.fallback.state_dict(),
            "other": list(self._other),
            "losses": [(float(learned), float(safe)) for learned, safe in self._losses],
            "safe": self._safe,
            "choices": list(self.choices),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.rule.load_state_dict(state["rule"])
        self.fallback.load_state_dict(state["fallback"])
        for mine, saved in zip(self._other, state["other"], strict=True):
            mine.copy_(saved)
        self._losses = list(state["losses"])
        self._safe, self.choices = state["safe"], list(state["choices"])

    def _swap(self) -> None:
        """Exchange the weights of both trainings, without a copy."""
        for i, t in enumerate(self._held):
            t.data, self._other[i] = self._other[i], t.data

    def _take_over(self, winner: torch.optim.Optimizer, loser: torch.optim.Optimizer) -> None:
        """Let the loser go on from the weights that the parameters hold."""
        for mine, better in zip(self._other, self._held, strict=True):
            mine.copy_(better)
        _share_averages(winner, loser, self._params)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _is_less(learned: float, safe: float, margin: float) -> bool:
    # a share of a loss below 0 would be a margin for the learned training
    return learned < safe - margin * abs(safe) if math.isfinite(safe) else learned < safe


def _coefficients(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]] | None:
    """Return a copy of the state of a rule's coefficients; None for other optimizers."""
    if not isinstance(optimizer, EvolvedOptimizer):
        return None
    return copy.deepcopy(optimizer.state_dict().get("coefficients"))


def _restore(optimizer: torch.optim.Optimizer, coefficients: list[dict[str, Any]]) -> None:
    assert isinstance(optimizer, EvolvedOptimizer)
    optimizer.load_coefficients(coefficients)


def _share_averages(
    winner: torch.optim.Optimizer, loser: torch.optim.Optimizer, params: list[Tensor]
) -> None:
    """Give the loser the averages that both keep."""
    if not (isinstance(winner, EvolvedOptimizer) and isinstance(loser, EvolvedOptimizer)):
        return
    for p in params:
        theirs, ours = winner.state.get(p, {}), loser.state.get(p, {})
        for name in theirs.keys() & ours.keys() - {"step"}:
            ours[name].copy_(theirs[name])

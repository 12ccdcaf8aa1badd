"""Train the tasks of a stack from their beginning by any update rule, and measure them."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_evo.learned import StackGuard
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule


__all__ = ["gradients", "guarded_roll", "Guarding", "roll"]

_SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Guarding:
    """How a guard chooses; the settings of `StackGuard` and on which rows it looks.

    Args:
        every: Steps from one choice to the next.
        margin: By how much the learned training must be better, as a share of the loss.
        anchored: Whether the fallback's training is left alone, as of `LossGuard`.
        split: The rows on which both are measured.
    """

    every: int = 25
    margin: float = 0.0
    anchored: bool = True
    split: SplitName = "valid"


def gradients(tasks: Tasks, weights: Tensor, batch: Tensor) -> Tensor:
    """Return the gradients of the members' training losses at their batches, (M, N)."""
    with torch.enable_grad():
        leaf = weights.detach().requires_grad_()
        loss = tasks.loss(leaf, batch, "train")
        (grads,) = torch.autograd.grad(loss.sum(), leaf)
    return grads


def roll(
    tasks: Tasks,
    rule: UpdateRule,
    *,
    marks: Sequence[int],
    total_steps: int,
    splits: Sequence[SplitName] = _SPLITS,
) -> Mapping[SplitName, Tensor]:
    """Train all tasks and return their losses on whole splits after some steps.

    Args:
        tasks: What to train, M tasks.
        rule: An update rule for M members.
        marks: After how many steps to measure, increasing.
        total_steps: The length of the run that the rule is told.
        splits: What to measure on.

    Returns:
        For each split (marks, M), float64; a diverged member's losses are not finite.
    """
    weights = tasks.init.clone()
    optimizer = StackOptimizer(rule, weights, total_steps=total_steps, layout=tasks.family.layout)

    def step(number: int, batch: Tensor) -> Tensor:
        optimizer.step(weights, gradients(tasks, weights, batch))
        return weights

    return _measured(tasks, step, marks, splits)


def guarded_roll(
    tasks: Tasks,
    rule: UpdateRule,
    fallback: UpdateRule,
    *,
    guarding: Guarding,
    marks: Sequence[int],
    total_steps: int,
    splits: Sequence[SplitName] = _SPLITS,
) -> Mapping[SplitName, Tensor]:
    """Train all tasks by a guarded rule; as `roll` for the rest.

    Between choices it is the learned training that is measured, at the end the better one.

    Args:
        tasks: What to train, M tasks.
        rule: The guarded rule, for M members.
        fallback: The safe one.
        guarding: How the guard chooses.
        marks: After how many steps to measure, increasing.
        total_steps: The length of the run that both rules are told.
        splits: What to measure on.
    """
    guard = StackGuard(
        rule,
        fallback,
        tasks.init,
        total_steps=total_steps,
        layout=tasks.family.layout,
        every=guarding.every,
        margin=guarding.margin,
        anchored=guarding.anchored,
    )

    last = max(marks) - 1

    def losses(weights: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        return tasks.loss(weights, None, guarding.split)

    def step(number: int, batch: Tensor) -> Tensor:
        guard.step(lambda weights, _: gradients(tasks, weights, batch), losses)
        if number == last:
            guard.settle(losses)
        return guard.weights

    return _measured(tasks, step, marks, splits)


def _measured(
    tasks: Tasks,
    step: Callable[[int, Tensor], Tensor],
    marks: Sequence[int],
    splits: Sequence[SplitName],
) -> Mapping[SplitName, Tensor]:
    """Do steps, each on the batches of its number, and measure the weights at the marks."""
    found: dict[SplitName, list[Tensor]] = {split: [] for split in splits}
    for number in range(max(marks)):
        batch = torch.full((len(tasks),), number, dtype=torch.long, device=tasks.init.device)
        weights = step(number, batch)
        if number + 1 in marks:
            with torch.no_grad():
                for split in splits:
                    found[split].append(tasks.loss(weights, None, split).double())
    return {split: torch.stack(losses) for split, losses in found.items()}

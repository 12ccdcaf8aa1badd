"""Train the tasks of a stack from their beginning by any update rule, and measure them."""

from collections.abc import Mapping
from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule


__all__ = ["gradients", "roll"]

_SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


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
    optimizer = StackOptimizer(
        rule, weights, total_steps=total_steps, layout=tasks.family.layout
    )
    found: dict[SplitName, list[Tensor]] = {split: [] for split in splits}
    for step in range(max(marks)):
        batch = torch.full((len(weights),), step, dtype=torch.long, device=weights.device)
        optimizer.step(weights, gradients(tasks, weights, batch))
        if step + 1 in marks:
            with torch.no_grad():
                for split in splits:
                    found[split].append(tasks.loss(weights, None, split).double())
    return {split: torch.stack(losses) for split, losses in found.items()}

"""Classic optimizers, tuned fairly: learning rate, schedule and decay chosen on other tasks."""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.meta_training._roll import roll
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import Genome
from optuna_evo.rules import Term
from optuna_evo.rules import TermType


__all__ = ["adam_grid", "constant_losses", "Tuned", "tuned"]

_AS_BAD_AS = 1e3  # times the loss at the beginning: what a diverged training counts as


class Tuned(NamedTuple):
    """The best of some genomes on some tasks.

    Args:
        genome: The best.
        losses: The mean loss of each candidate, in their order.
    """

    genome: Genome
    losses: Sequence[float]


def adam_grid(
    lrs: Sequence[float],
    *,
    schedules: Sequence[str] = ("constant", "cosine", "warm-up and cosine"),
    weight_decays: Sequence[float] = (0.0,),
    warmup_share: float = 0.05,
    total_steps: int = 100,
) -> list[Genome]:
    """Return Adam(W) with each combination of learning rate, schedule and weight decay.

    Args:
        lrs: Learning rates.
        schedules: Some of "constant", "cosine", "warm-up and cosine".
        weight_decays: Decoupled decays.
        warmup_share: Length of the warm-up as a share of the run.
        total_steps: Length of the run.
    """
    return [
        Genome(
            terms=[Term(TermType.ADAM_TERM, 1.0)],
            lr=lr,
            weight_decay=decay,
            use_cosine_decay="cosine" in schedule,
            use_warmup="warm-up" in schedule,
            warmup_steps=max(1, round(warmup_share * total_steps)),
        )
        for lr, schedule, decay in itertools.product(lrs, schedules, weight_decays)
    ]


def constant_losses(
    tasks: Tasks,
    genome: Genome,
    *,
    marks: Sequence[int],
    total_steps: int,
    splits: Sequence[SplitName],
) -> dict[SplitName, Tensor]:
    """Return the losses of all tasks with one genome, (marks, M) for each split."""
    rule = ConstantRule([genome.rule] * len(tasks))
    found = roll(tasks, rule, marks=marks, total_steps=total_steps, splits=splits)
    return {split: bounded_losses(tasks, losses, split) for split, losses in found.items()}


def bounded_losses(tasks: Tasks, losses: Tensor, split: SplitName) -> Tensor:
    """Return losses of which none is worse than `_AS_BAD_AS` times the one at the beginning."""
    with torch.no_grad():
        most = _AS_BAD_AS * tasks.loss(tasks.init, None, split).double()
    return torch.minimum(losses.nan_to_num(torch.inf, torch.inf, torch.inf), most)


def tuned(
    tasks: Tasks, candidates: Sequence[Genome], *, steps: int, split: SplitName
) -> Tuned:
    """Return the candidate with the least mean loss after a run.

    Args:
        tasks: What to tune on.
        candidates: Genomes; each is one trial.
        steps: Length of the run.
        split: What is measured.
    """
    means = []
    for genome in candidates:
        losses = constant_losses(
            tasks, genome, marks=[steps], total_steps=steps, splits=[split]
        )
        means.append(float(losses[split].mean()))
    best = min(range(len(means)), key=means.__getitem__)
    return Tuned(candidates[best], tuple(means))

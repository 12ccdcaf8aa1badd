"""A controller beside tuned classic optimizers, on tasks that nothing was trained or tuned on."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.meta_training._baselines import adam_grid
from optuna_evo.meta_training._baselines import bounded_losses
from optuna_evo.meta_training._baselines import constant_losses
from optuna_evo.meta_training._baselines import tuned
from optuna_evo.meta_training._compare import compare
from optuna_evo.meta_training._compare import Comparison
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.meta_training._roll import roll
from optuna_evo.meta_training._seeds import task_seeds
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule


__all__ = ["evaluate", "Evaluation", "held_out_losses", "tuned_baselines"]

LRS: Final = tuple(0.004 * 2**k for k in range(9))  # 0.004 .. 1.024
_DECAYS: Final = (0.0, 0.01, 0.1, 1.0)
_SPLITS: tuple[SplitName, ...] = ("train", "test")


@dataclass(frozen=True)
class Evaluation:
    """Losses on held-out tasks after some steps.

    Args:
        marks: After how many steps.
        losses: By optimizer and split, (marks, M): "controller", "untrained" (its base genome),
            "adam" and "adamw" as tuned.
        genomes: The tuned genomes by name.
    """

    marks: tuple[int, ...]
    losses: Mapping[str, Mapping[SplitName, Tensor]]
    genomes: Mapping[str, Genome]

    def compare(self, other: str, mark: int, split: SplitName) -> Comparison:
        """Compare the controller with another optimizer, paired over tasks."""
        at = self.marks.index(mark)
        ours, theirs = (self.losses[name][split][at] for name in ("controller", other))
        return compare(ours.cpu().numpy(), theirs.cpu().numpy())


def tuned_baselines(
    family: TaskFamily,
    *,
    steps: int,
    n_tasks: int = 32,
    lrs: Sequence[float] = LRS,
    device: torch.device | str = "cpu",
) -> dict[str, Genome]:
    """Return Adam and AdamW, tuned on tasks of their own for runs of a length.

    "adam": learning rate and schedule (constant, cosine, warm-up and cosine) by the training loss
    at the end. "adamw": warm-up and cosine, learning rate and weight decay by the validation loss.
    27 and 36 trials with the default learning rates.

    Args:
        family: Where tasks come from.
        steps: Length of a run.
        n_tasks: How many tasks to tune on.
        lrs: Learning rates to try.
        device: Where to train.
    """
    tasks = family.sample(task_seeds("tune", n_tasks), device)
    plain = adam_grid(lrs, total_steps=steps)
    decayed = adam_grid(
        lrs, schedules=["warm-up and cosine"], weight_decays=_DECAYS, total_steps=steps
    )
    return {
        "adam": tuned(tasks, plain, steps=steps, split="train").genome,
        "adamw": tuned(tasks, decayed, steps=steps, split="valid").genome,
    }


def held_out_losses(
    rule: UpdateRule,
    tasks: Tasks,
    *,
    marks: Sequence[int],
    total_steps: int,
    splits: Sequence[SplitName] = _SPLITS,
) -> dict[SplitName, Tensor]:
    """Return the losses of an update rule, (marks, M) for each split.

    A diverged training counts as a thousand times the loss at its beginning.
    """
    found = roll(tasks, rule, marks=marks, total_steps=total_steps, splits=splits)
    return {split: bounded_losses(tasks, losses, split) for split, losses in found.items()}


def evaluate(
    controller: Controller,
    family: TaskFamily,
    *,
    steps: int = 100,
    marks: Sequence[int] = (),
    n_tasks: int = 64,
    baselines: Mapping[str, Genome] | None = None,
    splits: Sequence[SplitName] = _SPLITS,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Train held-out tasks by a controller, its base genome, and tuned Adam and AdamW.

    Args:
        controller: The controller.
        family: Where tasks come from; those of purpose "test" are taken.
        steps: Length of the runs.
        marks: Steps after which to measure, besides the last.
        n_tasks: How many tasks.
        baselines: Genomes to compare with, by name; None: `tuned_baselines` for this length.
        splits: What to measure on.
        device: Where to train.

    Example:
        >>> found = evaluate(controllers["mlp"], DigitsMLP(width=64), steps=100)
        >>> found.compare("adam", 100, "train").ratio_interval
    """
    if baselines is None:
        baselines = tuned_baselines(family, steps=steps, device=device)
    tasks = family.sample(task_seeds("test", n_tasks), device)
    all_marks = tuple(sorted({*marks, steps}))
    how = {"marks": all_marks, "total_steps": steps, "splits": splits}
    losses: dict[str, Mapping[SplitName, Tensor]] = {
        "controller": held_out_losses(ControllerRule(controller), tasks, **how)  # type: ignore[arg-type]
    }
    for name, genome in {"untrained": controller.genome, **baselines}.items():
        losses[name] = constant_losses(tasks, genome, **how)  # type: ignore[arg-type]
    return Evaluation(all_marks, losses, dict(baselines))

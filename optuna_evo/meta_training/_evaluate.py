"""A controller beside tuned classic optimizers, on tasks that nothing was trained or tuned on."""

from collections.abc import Collection
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
from optuna_evo.meta_training._roll import guarded_roll
from optuna_evo.meta_training._roll import Guarding
from optuna_evo.meta_training._roll import roll
from optuna_evo.meta_training._seeds import task_seeds
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule


__all__ = ["evaluate", "Evaluation", "guarded_losses", "held_out_losses", "tuned_baselines"]

LRS: Final = tuple(0.004 * 2**k for k in range(12))  # 0.004 .. 8.192
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

    def compare(
        self, other: str, mark: int, split: SplitName, *, of: str = "controller"
    ) -> Comparison:
        """Compare the controller, or its guarded training `of` that name, with another optimizer.

        Paired over tasks.
        """
        at = self.marks.index(mark)
        ours, theirs = (self.losses[name][split][at] for name in (of, other))
        return compare(ours.cpu().numpy(), theirs.cpu().numpy())


def tuned_baselines(
    family: TaskFamily,
    *,
    steps: int,
    n_tasks: int = 32,
    lrs: Sequence[float] = LRS,
    names: Collection[str] = ("adam", "adamw"),
    device: torch.device | str = "cpu",
) -> dict[str, Genome]:
    """Return Adam and AdamW, tuned on tasks of their own for runs of a length.

    "adam": learning rate and schedule (constant, cosine, warm-up and cosine) by the training loss
    at the end. "adamw": warm-up and cosine, learning rate and weight decay by the validation loss.
    36 and 48 trials with the default learning rates.

    Args:
        family: Where tasks come from.
        steps: Length of a run.
        n_tasks: How many tasks to tune on.
        lrs: Learning rates to try.
        names: Which of the two.
        device: Where to train.
    """
    tasks = family.sample(task_seeds("tune", n_tasks), device)
    found = {}
    if "adam" in names:
        plain = adam_grid(lrs, total_steps=steps)
        found["adam"] = tuned(tasks, plain, steps=steps, split="train").genome
    if "adamw" in names:
        decayed = adam_grid(
            lrs, schedules=["warm-up and cosine"], weight_decays=_DECAYS, total_steps=steps
        )
        found["adamw"] = tuned(tasks, decayed, steps=steps, split="valid").genome
    return found


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


def guarded_losses(
    rule: UpdateRule,
    fallback: Genome,
    tasks: Tasks,
    *,
    guarding: Guarding,
    marks: Sequence[int],
    total_steps: int,
    splits: Sequence[SplitName] = _SPLITS,
) -> dict[SplitName, Tensor]:
    """Return the losses of a rule guarded by a genome, as `held_out_losses`; two gradients a step.

    Args:
        rule: The guarded rule, for M members.
        fallback: The safe genome.
        tasks: What to train.
        guarding: How the guard chooses.
        marks: After how many steps to measure.
        total_steps: Length of the run.
        splits: What to measure on.
    """
    safe = ConstantRule([fallback.rule] * len(tasks))
    found = guarded_roll(
        tasks,
        rule,
        safe,
        guarding=guarding,
        marks=marks,
        total_steps=total_steps,
        splits=splits,
    )
    return {split: bounded_losses(tasks, losses, split) for split, losses in found.items()}


def evaluate(
    controller: Controller,
    family: TaskFamily,
    *,
    steps: int = 100,
    marks: Sequence[int] = (),
    n_tasks: int = 64,
    baselines: Mapping[str, Genome] | None = None,
    rivals: Mapping[str, Controller] | None = None,
    guards: Mapping[str, Guarding] | None = None,
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
        rivals: Other controllers to compare with, by name.
        guards: Ways to guard the controller, by name; the fallback is the first of `baselines`.
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
        name: held_out_losses(ControllerRule(each), tasks, **how)  # type: ignore[arg-type]
        for name, each in {"controller": controller, **(rivals or {})}.items()
    }
    for name, genome in {"untrained": controller.genome, **baselines}.items():
        losses[name] = constant_losses(tasks, genome, **how)  # type: ignore[arg-type]
    for name, guarding in (guards or {}).items():
        rule, safe = ControllerRule(controller), next(iter(baselines.values()))
        losses[name] = guarded_losses(rule, safe, tasks, guarding=guarding, **how)  # type: ignore[arg-type]
    return Evaluation(all_marks, losses, dict(baselines))

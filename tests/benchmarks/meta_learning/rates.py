"""Learning rates a hundred times too small or too large, and what hypergradients make of them.

Adam is tuned on other tasks: 10 learning rates, constant or along a cosine. The rule starts from
the best constant one, times 1/100, 1 and 100.
"""

from collections.abc import Sequence
import dataclasses

import torch
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo.meta_training import adam_grid
from optuna_evo.meta_training import DigitsMLP
from optuna_evo.meta_training import roll
from optuna_evo.meta_training import task_seeds
from optuna_evo.meta_training import tuned
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import HypergradientRule
from optuna_evo.rules import UpdateRule
from tests.benchmarks.meta_learning.tables import ratio
from tests.benchmarks.meta_learning.tables import Table


FAMILY = DigitsMLP(width=32)
RATES = [2.0**-k for k in range(2, 12)]
FACTORS = (0.01, 1.0, 100.0)


def table(seeds: Sequence[int], share: float) -> Table:
    """Return losses of held-out tasks by those of tuned Adam."""
    steps, n_tasks = int(200 * share) // 10 * 10, 16 * len(seeds)
    others = FAMILY.sample(task_seeds("tune", 16))
    grid = adam_grid(RATES, schedules=("constant", "cosine"), total_steps=steps)
    found = tuned(others, grid, steps=steps, split="test")
    constant = min(range(0, len(grid), 2), key=found.losses.__getitem__)
    right = grid[constant].lr
    best = _losses(ConstantRule([found.genome.rule] * n_tasks), n_tasks, steps)
    done = Table(
        f"MLPs on digits, {steps} steps, {n_tasks} held-out tasks: losses / those of Adam tuned "
        f"in {len(grid)} trials (lr {found.genome.lr:g}, "
        f"{'cosine' if found.genome.use_cosine_decay else 'constant'}; best constant {right:g})",
        ("rule", "lr / right one", "test loss / tuned", "training loss / tuned"),
    )
    for factor in FACTORS:
        for name, cosine in (("constant", False), ("cosine", True)):
            genome = dataclasses.replace(
                catalog["adam"], lr=right * factor, use_cosine_decay=cosine
            )
            for label, rule in _rules(genome, n_tasks).items():
                ours = _losses(rule, n_tasks, steps)
                ratios = [ratio(a, b) for a, b in zip(ours, best, strict=True)]
                done.rows.append([f"{label}, {name}", f"{factor:g}", *ratios])
    return done


def _rules(genome: Genome, n_tasks: int) -> dict[str, UpdateRule]:
    return {
        "Adam": ConstantRule([genome.rule] * n_tasks),
        "hypergradient": HypergradientRule(genome),
        "hypergradient per tensor": HypergradientRule(genome, per_tensor=True),
    }


def _losses(rule: UpdateRule, n_tasks: int, steps: int) -> tuple[Tensor, Tensor]:
    """Return test and training losses, (M,) each; a diverged one counts as 1000."""
    tasks = FAMILY.sample(task_seeds("test", n_tasks))
    found = roll(tasks, rule, marks=[steps], total_steps=steps, splits=["test", "train"])
    test, train = (torch.nan_to_num(found[split][0], 1e3, 1e3) for split in ("test", "train"))
    return test, train

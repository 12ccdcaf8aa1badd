"""The task changes in the middle of a run: how soon does a rule recover that adapts online?

The run is told its whole length, so schedules and learned optimizers have slowed down when other
data and labels come. The target is what the frozen rule reaches on the new task at the end.

Shape legend: S steps, M tasks.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.learned import OnlineRule
from optuna_evo.meta_training import DigitsMLP
from optuna_evo.meta_training import fine_tune
from optuna_evo.meta_training import gradients
from optuna_evo.meta_training import task_seeds
from optuna_evo.optimizers import StackOptimizer
from tests.benchmarks.meta_learning.domains import BASE
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import ratio
from tests.benchmarks.meta_learning.tables import Table


FAMILY = DigitsMLP(width=32)
N_STEPS, N_TASKS = 200, 32


def table(seeds: Sequence[int], share: float) -> Table:
    """Return steps to recover after half of the run, and the loss where no task changes."""
    done = Table(
        f"MLPs on digits, {len(seeds) * N_TASKS} runs of {N_STEPS} steps, another task after "
        f"{N_STEPS // 2}; steps until the frozen rule's last loss on it",
        ("rule", "frozen", "online", "online / frozen", "stationary: online / frozen"),
    )
    for name, make in _rules(int(150 * share)).items():
        found: list[list[Tensor]] = []
        for seed in seeds:
            frozen, still_frozen = (_losses(make(), seed, switch=s) for s in (True, False))
            ours, still_ours = (_losses(OnlineRule(make()), seed, switch=s) for s in (True, False))
            target = frozen[-10:].mean(0)
            steps = [_first_below(part, target) for part in (frozen, ours)]
            found.append([*steps, *(part[-10:].mean(0) for part in (still_frozen, still_ours))])
        frozen, ours, still_frozen, still_ours = (torch.cat(p) for p in zip(*found, strict=True))
        done.rows.append(
            [name, mean(frozen), mean(ours), ratio(ours, frozen), ratio(still_ours, still_frozen)]
        )
    return done


def _rules(n_outer: int) -> dict[str, Callable[[], Controller]]:
    cosine = dataclasses.replace(BASE, use_cosine_decay=True)
    learned = fine_tune(spec(n_outer), MLPController(genome=BASE), [DigitsMLP(width=16)])
    return {
        "Adam, cosine": lambda: MLPController(genome=cosine),
        "Adam, constant": lambda: MLPController(genome=BASE),
        "MLP controller": lambda: learned,
    }


def _losses(rule: Controller | OnlineRule, seed: int, *, switch: bool) -> Tensor:
    """Return validation losses after each step, of the second half if tasks switch, (S, M)."""
    first = FAMILY.sample(task_seeds("test", N_TASKS, first=2 * seed * N_TASKS))
    other = FAMILY.sample(task_seeds("test", N_TASKS, first=(2 * seed + 1) * N_TASKS))
    weights, found = first.init.clone(), []
    runs = rule if isinstance(rule, OnlineRule) else ControllerRule(rule)
    optimizer = StackOptimizer(runs, weights, total_steps=N_STEPS, layout=FAMILY.layout)
    for step in range(N_STEPS):
        tasks = other if switch and step >= N_STEPS // 2 else first
        batch = torch.full((N_TASKS,), step, dtype=torch.long)
        with torch.no_grad():
            if isinstance(rule, OnlineRule):
                rule.feedback(tasks.loss(weights, batch, "train"))
            optimizer.step(weights, gradients(tasks, weights, batch))
            if step >= N_STEPS // 2:
                found.append(tasks.loss(weights, None, "valid"))
    return torch.stack(found)


def _first_below(losses: Tensor, target: Tensor) -> Tensor:
    """Return the number of steps until a loss is at most the target, (M,); else all."""
    below = losses <= target
    first = below.int().argmax(0) + 1
    return torch.where(below.any(0), first, len(losses)).double()

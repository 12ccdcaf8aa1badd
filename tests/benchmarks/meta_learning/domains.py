"""Three small domains of inner trainings, and what all modes measure on them.

Shape legend: M tasks.
"""

import dataclasses
import functools

from torch import Tensor

from optuna_evo import catalog
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.meta_training import constant_losses
from optuna_evo.meta_training import DigitsMLP
from optuna_evo.meta_training import fine_tune
from optuna_evo.meta_training import MetaSpec
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import roll
from optuna_evo.meta_training import task_seeds
from optuna_evo.meta_training import TaskFamily


STEPS = 50  # of an inner training
BASE = dataclasses.replace(catalog["adam"], lr=0.03)
FAMILIES: dict[str, TaskFamily] = {
    "quadratics": Quadratics(size=10),
    "relu MLPs": DigitsMLP(width=16, batch_size=32),
    "larger, noisy quadratics": Quadratics(size=20, noise=0.3),
}
A, B, C = FAMILIES


def spec(outer_steps: int, *, lr: float = 1e-2, seed: int = 0) -> MetaSpec:
    """Return a meta-training by PES of this length."""
    return MetaSpec.from_dict(
        {
            "name": "benchmark",
            "seed": seed,
            "controller": {"name": "mlp"},
            "families": [{"name": "quadratics"}],  # not read: the families are given
            "outer": {
                "steps": max(2, outer_steps),
                "pairs": 8,
                "truncation": 10,
                "perturbation": 0.03,
                "lr": lr,
            },
            "horizon": {"low": STEPS, "high": STEPS},
        }
    )


def untrained() -> Controller:
    """Return a controller that is its base genome."""
    return MLPController(genome=BASE)


@functools.cache
def trained(domain: str, outer_steps: int, seed: int) -> Controller:
    """Return a controller that was trained on one domain from scratch."""
    return fine_tune(spec(outer_steps, seed=seed), untrained(), [FAMILIES[domain]])


def losses(controller: Controller, domain: str, *, n_tasks: int = 64) -> Tensor:
    """Return the final losses of held-out tasks on their test data, (M,)."""
    tasks = FAMILIES[domain].sample(task_seeds("test", n_tasks))
    rule = ControllerRule(controller)
    found = roll(tasks, rule, marks=[STEPS], total_steps=STEPS, splits=["test"])["test"][0]
    worst = constant_losses(tasks, BASE, marks=[1], total_steps=STEPS, splits=["test"])["test"][0]
    return found.nan_to_num(1e9, 1e9).minimum(10 * worst)


def logs(controller: Controller, domain: str) -> Tensor:
    """Return the logarithms of `losses`, (M,): gains and forgetting are differences of them."""
    return (losses(controller, domain) + 1e-4).log()

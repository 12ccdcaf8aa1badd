"""What a controller does in a run: learning rates and mixes of each tensor, step by step.

Shape legend: R runs, S steps, T tensors, K mixes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.meta_training._seeds import task_seeds
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule


__all__ = ["ControllerTrace", "trace"]


@dataclass(frozen=True, kw_only=True)
class ControllerTrace:
    """What a controller answered over the steps of a run, as a mean over runs.

    Args:
        kind: Kind of the controller.
        tensors: Names of the T tensors: number and shape.
        lr: What it multiplied the base's learning rate by, the geometric mean, (S, T).
        mixes: What it added to the coefficients of directions, by their names, (S, T) each;
            "own direction" is the coefficient of a direction of its own.
        losses: Training losses on the batch of each step, (R, S): of the "controller" and of its
            "base".
    """

    kind: str
    tensors: tuple[str, ...]
    lr: NDArray[np.float64]
    mixes: Mapping[str, NDArray[np.float64]]
    losses: Mapping[str, NDArray[np.float64]]


def trace(
    controller: Controller, family: TaskFamily, *, steps: int = 100, n_tasks: int = 4
) -> ControllerTrace:
    """Train held-out tasks one after another, and record what the controller answers.

    Args:
        controller: The controller.
        family: Where tasks come from; those of purpose "valid" are taken.
        steps: Length of a run, S.
        n_tasks: Number of runs, R.

    Example:
        >>> trace(controllers["mlp"], Quadratics(), steps=50).lr.shape
        (50, 1)
    """
    logs: list[Tensor] = []
    mixes: list[Tensor] = []
    losses: dict[str, list[list[float]]] = {"controller": [], "base": []}

    def record(module: Any, inputs: Any, outputs: Any) -> None:
        # one member at a time: then no kind is vmapped, and all it answers can be kept
        answer, _ = outputs
        n_tensors = len(family.layout)
        own = answer.share
        if own is None:
            own = torch.full((n_tensors,), float(answer.direction is not None))
        row = [answer.mix.reshape(n_tensors, -1), own.reshape(n_tensors, 1)]
        logs.append(answer.log_lr.detach().reshape(n_tensors).double())
        mixes.append(torch.cat(row, dim=1).detach().double())

    base = ConstantRule([controller.genome.rule])
    for seed in task_seeds("valid", n_tasks):
        tasks = family.sample([seed])
        hook = controller.register_forward_hook(record)
        try:
            losses["controller"].append(_train(tasks, ControllerRule(controller), steps))
        finally:
            hook.remove()
        losses["base"].append(_train(tasks, base, steps))
    n_tensors = len(family.layout)
    lr = torch.stack(logs).view(n_tasks, steps, n_tensors).mean(0).exp()
    mixed = torch.stack(mixes).view(n_tasks, steps, n_tensors, -1).mean(0)
    names = [*controller.mixes, *(["own direction"] if controller.has_direction else [])]
    shapes = ["×".join(map(str, shape)) or "1" for shape in family.layout]
    return ControllerTrace(
        kind=controller.kind,
        tensors=tuple(f"{i}: {shape}" for i, shape in enumerate(shapes)),
        lr=lr.numpy(),
        mixes={name: mixed[..., k].numpy() for k, name in enumerate(names)},
        losses={name: np.array(rows) for name, rows in losses.items()},
    )


def _train(tasks: Tasks, rule: UpdateRule, steps: int) -> list[float]:
    """Train one task; return the loss on the batch of each step."""
    weights = tasks.init.clone()
    optimizer = StackOptimizer(rule, weights, total_steps=steps, layout=tasks.family.layout)
    found = []
    for step in range(steps):
        batch = torch.full((1,), step, dtype=torch.long)
        with torch.enable_grad():
            leaf = weights.detach().requires_grad_()
            loss = tasks.loss(leaf, batch, "train")
            (grads,) = torch.autograd.grad(loss.sum(), leaf)
        found.append(float(loss.detach()))
        optimizer.step(weights, grads)
    return found

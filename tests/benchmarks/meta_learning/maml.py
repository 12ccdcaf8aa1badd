"""10-shot sinusoids: what is left after five gradient steps on ten points."""

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor

from optuna_evo.meta_training import MAML
from optuna_evo.meta_training import MetaSGD
from optuna_evo.meta_training import sinusoids
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import ratio
from tests.benchmarks.meta_learning.tables import Table


OUTER_STEPS = 2_500
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
WAYS = ("joint pre-training", "MAML", "first-order MAML", "Meta-SGD per tensor", "Meta-SGD")


def table(seeds: Sequence[int], share: float) -> Table:
    """Return mean squared errors of 600 held-out waves a seed."""
    found: dict[str, list[list[Tensor]]] = {way: [] for way in WAYS}
    for seed in seeds:
        held_out = sinusoids(600, seed=10**9 + seed)
        for way in WAYS:
            learner = trained(way, seed, int(OUTER_STEPS * share))
            found[way].append(
                [learner.query_losses(held_out, steps=n).detach() for n in (0, 1, 5, 10)]
            )
    done = Table(
        f"10-shot sinusoids, {int(OUTER_STEPS * share)} outer steps of 25 tasks, "
        f"{len(seeds)} seeds x 600 held-out tasks: mean squared error",
        ("learner", "0 steps", "1 step", "5 steps", "10 steps", "5 steps / joint"),
    )
    joint = torch.cat([losses[2] for losses in found[WAYS[0]]])
    for way, by_seed in found.items():
        columns = [torch.cat(part) for part in zip(*by_seed, strict=True)]
        done.rows.append([way, *map(mean, columns), ratio(columns[2], joint)])
    return done


def trained(way: str, seed: int, n_steps: int) -> MAML:
    """Return a trained learner; joint training gets the best inner rate of a grid."""
    torch.manual_seed(seed)
    layers = [nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)]
    model, loss = nn.Sequential(*layers), nn.functional.mse_loss
    learner = {
        "Meta-SGD per tensor": lambda: MetaSGD(model, loss),
        "Meta-SGD": lambda: MetaSGD(model, loss, per="parameter"),
    }.get(way, lambda: MAML(model, loss, first_order=way == "first-order MAML"))()
    optimizer = torch.optim.Adam(learner.parameters(), lr=2e-3)
    for step in range(n_steps):
        optimizer.zero_grad()
        steps = 0 if way == "joint pre-training" else None
        tasks = sinusoids(25, seed=10**6 * seed + step)
        learner.query_losses(tasks, steps=steps).mean().backward()
        optimizer.step()
    if way == "joint pre-training":
        validation = sinusoids(200, seed=2 * 10**9 + seed)
        learner.inner_lr = min(RATES, key=lambda rate: _loss_at(learner, rate, validation))
    return learner


def _loss_at(learner: MAML, rate: float, tasks: object) -> float:
    learner.inner_lr = rate
    loss = float(learner.query_losses(tasks, steps=5).detach().mean())  # type: ignore[arg-type]
    return loss if loss == loss else float("inf")

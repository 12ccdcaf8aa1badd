"""How long a step of a learned optimizer takes: `python -m tests.benchmarks.step --controllers`.

Times are CPU time of the process on a CPU, so that others on the machine disturb them less.
"""

from collections.abc import Callable
import math
from time import perf_counter
from time import process_time

import numpy as np
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import LearnedOptimizer
from optuna_evo import tasks
from optuna_evo.learned import ControllerRule
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule
from tests.learned.test_contract import CONTROLLERS
from tests.learned.test_contract import own_weights
from tests.learned.test_contract import trained


N_WARMUP = 2
MEMBERS = (16, 64)
LAYOUT = ((32, 64), (32,), (32, 32), (32,), (10, 32), (10,))  # a perceptron on digits
Params = list[nn.Parameter]


def show(device: str, rounds: int, only: str) -> None:
    """Print both tables.

    Args:
        device: "cpu" or "cuda".
        rounds: Timed steps of each row.
        only: Rows whose name contains this.
    """
    torch.set_num_threads(1)
    print("| parameters | controller | step, ms | to AdamW(fused) | to AdamW(foreach) |")
    print("|---|---|---|---|---|")
    for kind in [kind for kind in CONTROLLERS if only in kind]:
        sizes: dict[str, Callable[[], Params]] = {
            "SmallCNN, 0.8 M in 8": lambda: small(device),
        }
        if trained(kind).sees == "statistics":
            sizes = {"50 M in 150": lambda: large(device), **sizes}
        for what, make in sizes.items():
            fused, foreach, ours = np.median(step_times(kind, make, rounds), axis=0)
            print(
                f"| {what} | {kind} | {1e3 * ours:.2f} | {ours / fused:.2f} | "
                f"{ours / foreach:.2f} |",
                flush=True,
            )
    print("\n| members | rule | optimizer steps of a stack a second |")
    print("|---|---|---|")
    for n_members in MEMBERS:
        rules: dict[str, UpdateRule] = {
            "constant (Adam)": ConstantRule([catalog["adam"].rule] * n_members)
        }
        for kind in [kind for kind in CONTROLLERS if only in kind]:
            weights = own_weights(trained(kind), n_members)
            rules[kind] = ControllerRule(trained(kind), weights=weights)
        for name, rule in rules.items():
            print(
                f"| {n_members} | {name} | {stack_rate(rule, n_members, device):.0f} |", flush=True
            )


def step_times(kind: str, make: Callable[[], Params], rounds: int) -> np.ndarray:
    """Return seconds of steps of AdamW(fused), AdamW(foreach) and the controller, (rounds, 3)."""
    groups = [make() for _ in range(3)]
    for p in [p for params in groups for p in params]:
        p.grad = torch.randn_like(p)
    fused, foreach, learned = groups
    optimizers = (
        torch.optim.AdamW(fused, fused=True),
        torch.optim.AdamW(foreach, foreach=True),
        LearnedOptimizer(learned, trained(kind, 0.05), total_steps=10_000),
    )
    repeats = 1 if sum(p.numel() for p in learned) > 1e7 else 10
    times = np.empty((N_WARMUP + rounds, len(optimizers)))
    for i in range(len(times)):
        for j, optimizer in enumerate(optimizers):
            times[i, j] = seconds(optimizer.step, repeats, learned[0].device)
    return times[N_WARMUP:]


def stack_rate(rule: UpdateRule, n_members: int, device: str) -> float:
    """Return optimizer steps a second of a stack of small perceptrons."""
    size = sum(math.prod(shape) for shape in LAYOUT)
    weights, grads = torch.randn(2, n_members, size, device=device) / 10
    optimizer = StackOptimizer(rule, weights, total_steps=10_000, layout=LAYOUT)

    def step() -> None:
        optimizer.step(weights, grads)

    seconds(step, 10, weights.device)
    return 1 / float(np.median([seconds(step, 10, weights.device) for _ in range(7)]))


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return how long a work takes."""
    clock = perf_counter if device.type == "cuda" else process_time
    start = clock()
    for _ in range(repeats):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) / repeats


def large(device: str) -> Params:
    """Return 50 million parameters in 150 matrices."""
    return [nn.Parameter(torch.randn(577, 578, device=device)) for _ in range(150)]


def small(device: str) -> Params:
    """Return the parameters of the SmallCNN."""
    return list(tasks.get("mnist").build_model().to(device).parameters())

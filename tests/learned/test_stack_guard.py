"""In a stack each member goes on from the better of two trainings, and falls back bit for bit."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from optuna_evo import catalog
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import HybridController
from optuna_evo.learned import MLPController
from optuna_evo.learned import StackGuard
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer


P, N = 3, 10
GENOME = dataclasses.replace(catalog["adam"], lr=0.05)


class Problem:
    """P least-squares problems; the guard looks at the loss itself."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.a = torch.randn(P, 12, N, generator=random)
        self.b = torch.randn(P, 12, generator=random)
        self.start = torch.randn(P, N, generator=random)

    def losses(self, weights: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        rest = torch.bmm(self.a, weights.unsqueeze(-1)).squeeze(-1) - self.b
        return rest.square().mean(1)

    def gradients(self, weights: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        for buffer in buffers.values():
            buffer.add_(weights.mean(1))
        leaf = weights.detach().requires_grad_()
        (grads,) = torch.autograd.grad(self.losses(leaf, {}).sum(), leaf)
        return grads

    def alone(self, n_steps: int) -> Tensor:
        weights = self.start.clone()
        optimizer = StackOptimizer(ConstantRule([GENOME.rule] * P), weights, total_steps=n_steps)
        for _ in range(n_steps):
            optimizer.step(weights, self.gradients(weights, {}))
        return weights

    def guarded(self, rule: ControllerRule, n_steps: int, **how: Any) -> StackGuard:
        safe = ConstantRule([GENOME.rule] * P)
        guard = StackGuard(rule, safe, self.start, total_steps=n_steps, **how)
        for _ in range(n_steps):
            guard.step(self.gradients, self.losses)
        guard.settle(self.losses)
        return guard


def rule_of(change: Callable[[Controller, int], None]) -> ControllerRule:
    """Return a rule whose members have weights of their own, changed by their number."""
    members = []
    for row in range(P):
        controller = MLPController(genome=GENOME)
        with torch.no_grad():
            change(controller, row)
        members.append({name: p.detach() for name, p in controller.named_parameters()})
    weights = {name: torch.stack([each[name] for each in members]) for name in members[0]}
    return ControllerRule(MLPController(genome=GENOME), weights=weights)


def climb(controller: Any, row: int) -> None:
    controller.net[-1].bias[1] = -3.0


def random_(controller: Controller, row: int) -> None:
    random = torch.Generator().manual_seed(row)
    for p in controller.parameters():
        p.copy_(torch.randn(p.shape, generator=random))


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("n_steps", [40, 43])
def test_beside_controllers_that_climb_it_is_the_fallback_bit_for_bit(
    anchored: bool, n_steps: int
) -> None:
    problem = Problem()
    guard = problem.guarded(rule_of(climb), n_steps, every=10, anchored=anchored)
    assert torch.equal(guard.weights, problem.alone(n_steps))


def test_members_choose_one_by_one() -> None:
    def change(controller: Any, row: int) -> None:
        if row == 1:
            climb(controller, row)
        else:
            controller.net[-1].bias[0] = 1.5  # faster

    problem = Problem()
    guard = problem.guarded(rule_of(change), 40, every=10)
    alone = problem.alone(40)
    assert torch.equal(guard.weights[1], alone[1])
    better = problem.losses(guard.weights, {}) < problem.losses(alone, {})
    assert better.tolist() == [True, False, True]


def test_an_anchored_guard_is_never_worse_than_the_fallback_by_what_it_looks_at() -> None:
    problem = Problem()
    guard = problem.guarded(rule_of(random_), 60, every=7)
    assert bool((problem.losses(guard.weights, {}) <= problem.losses(problem.alone(60), {})).all())


def test_a_member_that_becomes_nan_begins_again_from_what_is_sound() -> None:
    problem = Problem()
    rule = ControllerRule(HybridController(genome=GENOME))
    guard = StackGuard(
        rule, ConstantRule([GENOME.rule] * P), problem.start, total_steps=20, every=5
    )
    for step in range(20):
        if step == 7:
            guard.weights[1] = torch.nan
        guard.step(problem.gradients, problem.losses)
    assert bool(guard.weights.isfinite().all())
    guard.step(problem.gradients, problem.losses)
    assert bool(guard.weights.isfinite().all())


def test_the_better_training_brings_its_buffers_along() -> None:
    problem = Problem()
    guard = problem.guarded(rule_of(climb), 20, every=10, buffers={"seen": torch.zeros(P)})
    weights, seen = problem.start.clone(), torch.zeros(P)
    optimizer = StackOptimizer(ConstantRule([GENOME.rule] * P), weights, total_steps=20)
    for _ in range(20):
        optimizer.step(weights, problem.gradients(weights, {"seen": seen}))
    assert torch.equal(guard.buffers["seen"], seen)


def test_a_margin_keeps_the_fallback_where_both_are_alike() -> None:
    problem = Problem()
    rule = rule_of(lambda controller, row: None)
    guard = StackGuard(
        rule, ConstantRule([GENOME.rule] * P), problem.start, total_steps=9, margin=0.1
    )
    guard.step(problem.gradients, problem.losses)
    assert guard.settle(problem.losses).tolist() == [False] * P


@pytest.mark.parametrize("how", [{"every": 0}, {"every": True}, {"margin": 1.0}])
def test_wrong_settings_are_refused(how: Any) -> None:
    problem = Problem()
    safe = ConstantRule([GENOME.rule] * P)
    with pytest.raises(ValueError, match="must be"):
        StackGuard(rule_of(climb), safe, problem.start, total_steps=9, **how)

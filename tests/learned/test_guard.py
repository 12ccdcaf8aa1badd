"""A guarded training goes on from the better of two, and falls back bit for bit."""

from collections.abc import Callable
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import LearnedOptimizer
from optuna_evo import LossGuard
from optuna_evo.learned import Controller
from optuna_evo.learned import MLPController
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import saved


GENOME = dataclasses.replace(catalog["adam"], lr=0.02)


def problem(seed: int = 0) -> tuple[list[nn.Parameter], Callable[[int], Tensor]]:
    """Return parameters and their loss on the batch of a step."""
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(200, 6, generator=generator), torch.randint(3, (200,))
    weights = torch.randn(6, 3, generator=generator)
    targets = (inputs @ weights).argmax(dim=1)
    params = [nn.Parameter(torch.zeros(6, 3)), nn.Parameter(torch.zeros(3))]

    def loss(step: int) -> Tensor:
        rows = slice(20 * (step % 10), 20 * (step % 10) + 20)
        return nn.functional.cross_entropy(inputs[rows] @ params[0] + params[1], targets[rows])

    return params, loss


def closure_of(optimizer: Any, loss: Callable[[int], Tensor], step: int) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(step)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    return closure


def moved(size: float) -> Controller:
    """Return a controller with random weights."""
    controller = MLPController(genome=GENOME)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in controller.parameters():
            p.add_(size * torch.randn(p.shape, generator=generator))
    return controller


def climbing() -> Controller:
    """Return a controller that goes uphill: its mix outweighs the base with the other sign."""
    controller = MLPController(genome=GENOME)
    with torch.no_grad():
        controller.net[-1].bias[1] = -3.0  # type: ignore[operator]
    return controller


def fast() -> Controller:
    """Return a controller that only multiplies the learning rate, by 5."""
    controller = MLPController(genome=GENOME)
    with torch.no_grad():
        controller.net[-1].bias[0] = 1.7  # type: ignore[operator]
    return controller


def final_loss(loss: Callable[[int], Tensor]) -> float:
    with torch.no_grad():
        return float(sum(loss(step) for step in range(10)))


def train_alone(n_steps: int) -> tuple[list[nn.Parameter], Callable[[int], Tensor]]:
    params, loss = problem()
    optimizer = EvolvedOptimizer(params, GENOME, total_steps=n_steps)
    for step in range(n_steps):
        optimizer.step(closure_of(optimizer, loss, step))  # type: ignore[arg-type]
    return params, loss


@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("validates", [True, False])
def test_beside_a_controller_that_climbs_it_is_the_fallback_bit_for_bit(
    validates: bool, anchored: bool
) -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, climbing(), total_steps=40)
    evaluate = (lambda: final_loss(loss)) if validates else None
    guard = LossGuard(learned, GENOME, every=10, anchored=anchored, evaluate=evaluate)
    for step in range(40):
        guard.step(closure_of(guard, loss, step))
    assert guard.choices == [False] * 4
    assert_equal([p.detach() for p in params], [p.detach() for p in train_alone(40)[0]])


def test_beside_a_better_controller_it_is_better_than_the_fallback() -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, fast(), total_steps=40)
    guard = LossGuard(learned, GENOME, every=10)
    for step in range(40):
        guard.step(closure_of(guard, loss, step))
    assert any(guard.choices)
    assert final_loss(loss) < final_loss(train_alone(40)[1])


def test_a_training_that_becomes_nan_is_left_and_begun_again_from_what_is_sound() -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, MLPController(genome=GENOME), total_steps=40)
    guard = LossGuard(learned, GENOME, every=5)
    for step in range(20):
        guard.step(closure_of(guard, loss, step))
        if step == 7:
            with torch.no_grad():
                params[0].fill_(torch.nan)
    assert not guard.choices[1]
    assert all(bool(p.isfinite().all()) for p in params)
    assert all(bool(t.isfinite().all()) for s in learned.state.values() for t in [s["exp_avg"]])


def test_it_goes_on_bit_for_bit_from_a_saved_state() -> None:
    def make() -> tuple[list[nn.Parameter], Callable[[int], Tensor], LossGuard]:
        params, loss = problem()
        learned = LearnedOptimizer(params, moved(0.1), total_steps=40)
        return params, loss, LossGuard(learned, GENOME, every=7)

    outcomes = []
    for breaks in (False, True):
        params, loss, guard = make()
        for step in range(24):
            if breaks and step == 10:
                weights, state = [p.detach().clone() for p in params], saved(guard.state_dict())
                params, loss, guard = make()
                with torch.no_grad():
                    for p, w in zip(params, weights, strict=True):
                        p.copy_(w)
                guard.load_state_dict(state)
            guard.step(closure_of(guard, loss, step))
        outcomes.append([p.detach() for p in params])
    assert_equal(*outcomes)


def test_settling_early_leaves_the_better_weights() -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, climbing(), total_steps=40)
    guard = LossGuard(learned, GENOME, every=10)
    for step in range(5):
        guard.step(closure_of(guard, loss, step))
    assert guard.settle() is False
    assert_equal([p.detach() for p in params], [p.detach() for p in train_alone(5)[0]])


def test_it_guards_any_optimizer() -> None:
    params, loss = problem()
    wild = torch.optim.SGD(params, lr=1e9)
    guard = LossGuard(wild, torch.optim.SGD(params, lr=0.1), every=3)
    for step in range(9):
        guard.step(closure_of(guard, loss, step))
    assert final_loss(loss) < 10.9


@pytest.mark.parametrize("every", [0, -1, 1, 2.5, True])
def test_a_wrong_number_of_steps_is_refused(every: Any) -> None:
    params, _ = problem()
    learned = LearnedOptimizer(params, MLPController(), total_steps=40)
    with pytest.raises(ValueError, match="`every` must be a number of steps from 2 on"):
        LossGuard(learned, GENOME, every=every)


def test_optimizers_of_other_parameters_are_refused() -> None:
    params, _ = problem()
    learned = LearnedOptimizer(params, MLPController(), total_steps=40)
    with pytest.raises(ValueError, match="must have the same parameters in the same order"):
        LossGuard(learned, torch.optim.SGD(params[:1]))


def test_an_anchored_guard_is_never_worse_than_the_fallback_by_what_it_looks_at() -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, moved(1.0), total_steps=40)
    guard = LossGuard(learned, GENOME, every=7, evaluate=lambda: final_loss(loss))
    for step in range(40):
        guard.step(closure_of(guard, loss, step))
    guard.settle()
    assert final_loss(loss) <= final_loss(train_alone(40)[1])


def test_each_training_has_its_own_buffers() -> None:
    params, loss = problem()
    learned = LearnedOptimizer(params, climbing(), total_steps=20)
    seen = torch.zeros(())
    guard = LossGuard(learned, GENOME, every=5, buffers=[seen])

    def closure_at(step: int) -> Callable[[], Tensor]:
        inner = closure_of(guard, loss, step)

        def closure() -> Tensor:
            seen.add_(params[0].detach().square().sum())
            return inner()

        return closure

    for step in range(20):
        guard.step(closure_at(step))
    alone, loss = problem()
    optimizer, expected = EvolvedOptimizer(alone, GENOME, total_steps=20), torch.zeros(())
    for step in range(20):
        expected.add_(alone[0].detach().square().sum())
        optimizer.step(closure_of(optimizer, loss, step))  # type: ignore[arg-type]
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_a_wrong_margin_is_refused(margin: float) -> None:
    params, _ = problem()
    learned = LearnedOptimizer(params, MLPController(), total_steps=40)
    with pytest.raises(ValueError, match="`margin` must be in"):
        LossGuard(learned, GENOME, margin=margin)

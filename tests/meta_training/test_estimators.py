"""Meta-gradients are what they say: PES unbiased, backpropagation equal to finite differences."""

import pytest
import torch
from torch import Tensor

from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.meta_training import flat_parameters
from optuna_evo.meta_training import gradients
from optuna_evo.meta_training import Horizons
from optuna_evo.meta_training import MetaLoss
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import set_parameters
from optuna_evo.meta_training._backprop import Unrolled
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._episodes import Episodes
from optuna_evo.optimizers import functional_update
from optuna_evo.optimizers import StackOptimizer


THETA, STEPS, TRUNCATION, STD = torch.tensor([0.4, -0.3]), 6, 2, 0.2


def _losses(theta: Tensor, state: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
    """Return the mean loss of a linear system with parameters theta, (..., 2), and its state."""
    total = torch.zeros_like(state)
    for _ in range(n_steps):
        state = 0.9 * state + theta[..., 0]
        total = total + (state - theta[..., 1]) ** 2
    return total / n_steps, state


def test_the_sum_of_pes_estimates_over_an_episode_is_the_gradient_of_the_whole() -> None:
    n_pairs = 2_000
    episodes = Episodes(
        n_pairs=n_pairs,
        n_meta=2,
        seed=0,
        stack=0,
        horizons=Horizons(low=STEPS, high=STEPS),
        truncation=TRUNCATION,
        std=STD,
    )
    episodes.begin(0)
    episodes.end(range(n_pairs))  # the first episodes are shorter, to spread them
    states = torch.zeros(n_pairs, 2)
    persistent, forgetful = torch.zeros(2), torch.zeros(2)
    for outer_step in range(1, 1 + STEPS // TRUNCATION):
        begun = episodes.begin(outer_step)
        assert len(begun) == (n_pairs if outer_step == 1 else 0)
        both = THETA + torch.stack([episodes.eps, -episodes.eps], dim=1)
        losses, states = _losses(both, states, TRUNCATION)
        persistent += episodes.gradient(losses.double())
        weights = (losses[:, 0] - losses[:, 1]) / (2 * STD**2)
        forgetful += (weights[:, None] * episodes.eps).mean(0)
    theta = THETA.clone().requires_grad_()
    # a quadratic function and its smoothed one have the same gradient
    whole, _ = _losses(theta, torch.zeros(()), STEPS)
    (exact,) = torch.autograd.grad(whole * STEPS / TRUNCATION, theta)
    assert (persistent - exact).norm() < 0.15 * exact.norm()
    assert (forgetful - exact).norm() > 0.3 * exact.norm()  # what the sum of perturbations is for


def test_episodes_spread_out_end_apart_and_begin_on_other_tasks() -> None:
    episodes = Episodes(
        n_pairs=16,
        n_meta=1,
        seed=1,
        stack=0,
        horizons=Horizons(low=100, high=100),
        truncation=25,
        std=0.1,
    )
    seeds = [b.task_seed for b in episodes.begin(0)]
    begun = [episodes.begin(outer_step) for outer_step in range(1, 5)]
    assert all(0 < len(b) < 16 for b in begun)
    seeds += [b.task_seed for some in begun for b in some]
    assert len({*seeds}) == len(seeds)


def test_a_curriculum_makes_runs_longer() -> None:
    horizons = Horizons(low=10, high=200, first=20, growth=100)
    random = torch.Generator().manual_seed(0)
    early = [horizons.draw(0, 5, random) for _ in range(50)]
    late = [horizons.draw(100, 5, random) for _ in range(50)]
    assert max(early) <= 20 < max(late) <= 200
    assert all(length % 5 == 0 for length in early + late)


def _unrolled(dtype: torch.dtype, *, second_order: bool) -> Unrolled:
    return Unrolled(
        MLPController(hidden_size=3),
        Quadratics(size=4),
        [Beginning(0, 5, 20), Beginning(1, 6, 20)],
        meta_loss=MetaLoss(),
        second_order=second_order,
        dtype=dtype,
    )


def _theta() -> Tensor:
    random = torch.Generator().manual_seed(0)
    theta = flat_parameters(MLPController(hidden_size=3)).double()
    return theta + 0.3 * torch.randn(theta.shape, generator=random).double()


def test_truncated_backpropagation_is_the_finite_difference() -> None:
    theta = _theta()

    def value(at: Tensor) -> Tensor:
        return _unrolled(torch.float64, second_order=True).unroll(at, 6).mean()

    leaf = theta.clone().requires_grad_()
    (found,) = torch.autograd.grad(value(leaf), leaf)
    random, h = torch.Generator().manual_seed(1), 1e-5
    for _ in range(3):
        direction = torch.randn(theta.shape, generator=random).double()
        with torch.no_grad():
            difference = (value(theta + h * direction) - value(theta - h * direction)) / (2 * h)
        assert float(difference) == pytest.approx(float(found @ direction), rel=1e-4)
    assert bool((found != 0).any())


def test_first_order_backpropagation_is_another_gradient_of_the_same_losses() -> None:
    found, losses = [], []
    for second_order in (False, True):
        leaf = _theta().requires_grad_()
        loss = _unrolled(torch.float64, second_order=second_order).unroll(leaf, 6).mean()
        losses.append(float(loss.detach()))
        found.append(torch.autograd.grad(loss, leaf)[0])
    assert losses[0] == losses[1]
    assert not torch.allclose(*found)


def test_every_meta_parameter_of_a_trained_controller_gets_a_signal() -> None:
    leaf = _theta().requires_grad_()
    loss = _unrolled(torch.float64, second_order=False).unroll(leaf, 6).mean()
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert bool(gradient.isfinite().all()) and int((gradient != 0).sum()) > 0.9 * len(gradient)


def test_the_functional_step_is_that_of_the_stack() -> None:
    controller, family = MLPController(hidden_size=3), Quadratics(size=4)
    set_parameters(controller, _theta().float())
    tasks = family.sample([5, 6])
    weights = tasks.init.clone()
    rule = ControllerRule(controller)
    stack = StackOptimizer(rule, weights, total_steps=20, layout=family.layout)
    unrolled = _unrolled(torch.float32, second_order=False)
    unrolled.unroll(_theta().float(), 6)
    for step in range(6):
        stack.step(weights, gradients(tasks, weights, torch.full((2,), step)))
    torch.testing.assert_close(unrolled.weights, weights, rtol=1e-4, atol=1e-5)


def test_the_functional_step_writes_nothing_in_place() -> None:
    given = [torch.ones(1, 3), torch.full((1, 3), 0.5), {"m": torch.zeros(1, 3)}]
    numbers = ControllerRule(MLPController()).start([(3,)], 1, 9, torch.device("cpu"))
    optimizer = StackOptimizer(
        ControllerRule(MLPController()), given[0], total_steps=9, layout=[(3,)]
    )
    row, _, _ = numbers.evaluate(1, optimizer.observe(given[0], given[1]))
    moved, after = functional_update(
        *given,  # type: ignore[arg-type]
        row.detach(),
        sizes=[3],
        terms=["MOMENTUM"],
    )
    assert torch.equal(given[0], torch.ones(1, 3)) and not bool(given[2]["m"].any())
    assert bool(after["m"].any()) and moved is not given[0]

"""A learning rate that adapts during the run follows the derivative of the loss by it."""

from collections.abc import Callable
import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo.errors import UsageError
from optuna_evo.optimizers import HypergradientRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule
from tests.optimizers.rules import Orthogonal
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved


RULES: dict[str, Genome | UpdateRule] = {
    "adamw": dataclasses.replace(catalog["adamw"], lr=0.01),
    "trust ratio": TrustRatio(),
    "orthogonal": Orthogonal(),
}
SHAPES = ((4, 3), (5,), ())


def quadratic(weights: Tensor) -> Tensor:
    scales = torch.logspace(-1, 0, weights.shape[1], dtype=weights.dtype)
    return 0.5 * (scales * weights.square()).sum(1)


def descend(rule: UpdateRule, n_steps: int, *, start: float = 1.0) -> tuple[float, StackOptimizer]:
    weights = torch.full((1, 10), start, dtype=torch.float64)
    optimizer = StackOptimizer(rule, weights, total_steps=n_steps)
    for _ in range(n_steps):
        leaf = weights.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(quadratic(leaf).sum(), leaf)
        optimizer.step(weights, gradient)
    return float(quadratic(weights)), optimizer


def scale(optimizer: StackOptimizer) -> float:
    return float(optimizer.state_dict()["coefficients"]["log_scale"].exp())


@pytest.mark.parametrize("name", RULES)
def test_the_inner_product_is_the_derivative_by_the_logarithm_of_the_rate(name: str) -> None:
    def loss_after(log_scale: float) -> tuple[float, Tensor, Tensor]:
        weights = torch.linspace(0.5, 1.5, 10, dtype=torch.float64).unsqueeze(0)
        optimizer = StackOptimizer(HypergradientRule(RULES[name]), weights, total_steps=9)
        state = optimizer.state_dict()
        state["coefficients"]["log_scale"] += log_scale
        optimizer.load_state_dict(state)
        before, gradient = weights.clone(), torch.linspace(-1, 2, 10).double().unsqueeze(0)
        optimizer.step(weights, gradient)
        leaf = weights.clone().requires_grad_()
        (now,) = torch.autograd.grad(quadratic(leaf).sum(), leaf)
        return float(quadratic(weights)), now, weights - before

    _, gradient, moved = loss_after(0.0)
    ends = [loss_after(sign * 1e-5)[0] for sign in (1, -1)]
    assert float((gradient * moved).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
def test_a_wrong_rate_ends_where_the_right_one_does(factor: float) -> None:
    right = 0.1
    plain, _ = descend(HypergradientRule(dataclasses.replace(catalog["adam"], lr=right)), 150)
    wrong = HypergradientRule(dataclasses.replace(catalog["adam"], lr=right * factor))
    loss, optimizer = descend(wrong, 150)
    assert loss < 1e-2 * float(quadratic(torch.ones(1, 10))) and plain < 0.05
    assert 0.005 < scale(optimizer) * factor < 20


def test_a_step_longer_than_the_weights_is_taken_back() -> None:
    weights = torch.ones(2, 6, dtype=torch.float64)
    rates = HypergradientRule(Genome(terms=[("GRAD", 1.0)], lr=1.0, use_m=False))
    optimizer = StackOptimizer(rates, weights, total_steps=9)
    gradient = torch.tensor([[100.0], [0.5]], dtype=torch.float64).expand(2, 6).contiguous()
    optimizer.step(weights, gradient)
    assert weights[:, 0].tolist() == [-99.0, 0.5]
    optimizer.step(weights, gradient)
    scales = optimizer.state_dict()["coefficients"]["log_scale"].exp()
    assert weights[0].tolist() == [1.0] * 6 and weights[1, 0] < 0.5
    assert float(scales[0]) == pytest.approx(1 / (100 * 30)) and float(scales[1]) > 1
    optimizer.step(weights, gradient)
    assert float(weights[0, 0]) == pytest.approx(1 - 1 / 30)


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_a_run_goes_on_bit_for_bit_from_a_saved_state(name: str, per_tensor: bool) -> None:
    rule = HypergradientRule(RULES[name], per_tensor=per_tensor)
    params = parameters(*SHAPES)
    uninterrupted = run(EvolvedOptimizer(params, rule), params, range(8))
    params = parameters(*SHAPES)
    first, second = (EvolvedOptimizer(params, rule) for _ in range(2))
    run(first, params, range(5))
    second.load_state_dict(saved(first.state_dict()))
    twin = copy.deepcopy(second)
    expected = run(second, params, range(5, 8))
    assert_equal(expected, uninterrupted)
    assert_equal(run(twin, twin.param_groups[0]["params"], range(5, 8)), expected)


@pytest.mark.parametrize("name", RULES)
def test_members_of_a_stack_adapt_each_alone(name: str) -> None:
    torch.manual_seed(0)
    starts = torch.rand(3, 10).double() + 0.5
    rule = HypergradientRule(RULES[name], per_tensor=True)

    def descended(weights: Tensor, stays: list[int]) -> Tensor:
        layout = [(3, 2), (4,)]
        optimizer = StackOptimizer(rule, weights, total_steps=9, layout=layout)
        for step in range(9):
            if step == 4:
                weights = weights[stays]
                optimizer.select(stays)
            optimizer.step(weights, weights * torch.linspace(-0.3, 2, 10).double())
        return weights

    together = descended(starts.clone(), [0, 2])
    for row, member in zip(together, (0, 2), strict=True):
        alone = descended(starts[[member]].clone(), [0])
        torch.testing.assert_close(row, alone[0], rtol=1e-12, atol=1e-12)


def test_zero_weights_and_bfloat16_are_trained() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).bfloat16()
    nn.init.zeros_(model[2].weight)
    optimizer = EvolvedOptimizer(model.parameters(), HypergradientRule(catalog["adam"]))
    inputs = torch.randn(32, 4).bfloat16()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (model(inputs) - inputs[:, :1]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    (bias,) = parameters((5,))
    with torch.no_grad():
        bias.zero_()
    only_zeros = EvolvedOptimizer([bias], HypergradientRule(catalog["adam"]))
    (moved,) = run(only_zeros, [bias], range(4))
    assert float(moved.abs().min()) > 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: HypergradientRule(g, rate=-0.1), "`rate` must be >= 0, got -0.1"),
        (lambda g: HypergradientRule(g, max_move=-1), "`max_move` must be > 0, got -1"),
        (
            lambda g: HypergradientRule(g, smoothing=1.0),
            r"`smoothing` must be in \[0, 1\), got 1.0",
        ),
    ],
)
def test_a_wrong_number_is_one_line(make: Callable[[Genome], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(catalog["adam"])

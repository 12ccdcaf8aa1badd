"""One optimizer's direction with another one's step size."""

import copy

import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo.optimizers import Grafted


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def backward(net: nn.Module) -> None:
    inputs = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)
    net.zero_grad()
    net(inputs).square().sum().backward()


def test_each_tensor_steps_as_far_as_one_says_and_where_the_other_says() -> None:
    net, twin, other = model(), model(), model()
    both = Grafted(
        EvolvedOptimizer(net.parameters(), catalog["lion"]),
        EvolvedOptimizer(net.parameters(), catalog["adam"]),
        net.parameters(),
    )
    lion = EvolvedOptimizer(twin.parameters(), catalog["lion"])
    adam = EvolvedOptimizer(other.parameters(), catalog["adam"])
    for each, step in ((net, both.step), (twin, lion.step), (other, adam.step)):
        backward(each)
        step()
    for w, a, b, start in zip(
        net.parameters(), twin.parameters(), other.parameters(), model().parameters(), strict=True
    ):
        step, direction, length = w - start, a - start, b - start
        torch.testing.assert_close(step.norm(), length.norm())
        torch.testing.assert_close(step / step.norm(), direction / direction.norm())


def test_with_itself_it_is_itself_over_many_steps() -> None:
    net, twin = model(), model()
    both = Grafted(
        EvolvedOptimizer(net.parameters(), catalog["adamw"]),
        EvolvedOptimizer(net.parameters(), catalog["adamw"]),
        net.parameters(),
    )
    alone = EvolvedOptimizer(twin.parameters(), catalog["adamw"])
    for _ in range(30):
        backward(net)
        both.step()
        backward(twin)
        alone.step()
    for w, a in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(w, a)


def test_a_tensor_without_a_step_stays() -> None:
    net = model()
    both = Grafted(
        EvolvedOptimizer(net.parameters(), catalog["sgd"]),
        EvolvedOptimizer(net.parameters(), catalog["adam"]),
        net.parameters(),
    )
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    before = [p.clone() for p in net.parameters()]
    both.step()
    for p, start in zip(net.parameters(), before, strict=True):
        assert torch.equal(p, start)


def test_its_state_goes_on() -> None:
    def build(net: nn.Module) -> Grafted:
        return Grafted(
            EvolvedOptimizer(net.parameters(), catalog["lion"]),
            EvolvedOptimizer(net.parameters(), catalog["adam"]),
            net.parameters(),
        )

    net, twin = model(), model()
    one = build(net)
    for _ in range(3):
        backward(net)
        one.step()
    twin.load_state_dict(net.state_dict())
    two = build(twin)
    two.inherit_state(copy.deepcopy(one.state_dict()))
    for each, optimizer in ((net, one), (twin, two)):
        backward(each)
        optimizer.step()
    for w, a in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(w, a)

"""What makes each kind of controller what it is; what all have in common is in the contract."""

import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import GraphController
from optuna_evo.learned import LSTMController
from optuna_evo.learned import MemoryController
from optuna_evo.learned import NeuronGraph
from optuna_evo.learned import TransformerController
from optuna_evo.learned._lstm import log_and_sign
from optuna_evo.learned._memory import remember
from optuna_evo.optimizers import EvolvedOptimizer


X, Y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def disturbed(controller: Controller, size: float = 0.3) -> Any:
    """Return the controller with all weights moved at random."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in controller.parameters():
            p += size * torch.randn(p.shape, generator=generator)
    return controller


def network(width: int = 6) -> nn.Sequential:
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 3)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 2)
    return model


def train(
    model: nn.Module, controller: Controller, params: list[Tensor], n_steps: int = 6
) -> None:
    optimizer = EvolvedOptimizer(params, ControllerRule(controller), total_steps=20)
    for _ in range(n_steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X.double()), Y).backward()
        optimizer.step()


def test_permuting_tensors_permutes_what_a_transformer_answers() -> None:
    outcomes = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        model = network()
        params = [*model.parameters()]
        train(model, disturbed(TransformerController()), [params[i] for i in order])
        outcomes.append([p.detach() for p in params])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=1e-6)


def test_a_transformer_looks_at_other_tensors_only_if_it_attends() -> None:
    moved = {}
    for attends in (True, False):
        outcomes = []
        for scale in (1.0, 3.0):
            model = network()
            with torch.no_grad():
                model[2].bias *= scale  # another tensor, whose gradient stays the same at first
            controller = disturbed(TransformerController(attends=attends, sequence_length=1))
            before = model[0].weight.detach().clone()
            optimizer = EvolvedOptimizer(
                model.parameters(), ControllerRule(controller), total_steps=20
            )
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            optimizer.step()
            outcomes.append(model[0].weight.detach() - before)
        moved[attends] = not torch.equal(*outcomes)
    assert moved == {True: True, False: False}


@pytest.mark.parametrize("num_rounds", [1, 2])
def test_permuting_hidden_neurons_commutes_with_a_graph_step(num_rounds: int) -> None:
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    outcomes = []
    for permuted in (False, True):
        model = network()
        if permuted:
            permute(model, order)
        controller = disturbed(GraphController(num_rounds=num_rounds)).for_module(model)
        train(model, controller, [*model.parameters()])
        if not permuted:
            permute(model, order)
        outcomes.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=1e-6)


def permute(model: nn.Sequential, order: Tensor) -> None:
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[order])
        model[0].bias.copy_(model[0].bias[order])
        model[2].weight.copy_(model[2].weight[:, order])


def test_a_graph_hears_of_other_layers_only_if_it_sends() -> None:
    moved = {}
    for sends in (True, False):
        outcomes = []
        for scale in (1.0, 3.0):
            model = network()
            controller = disturbed(GraphController(sends=sends)).for_module(model)
            before = model[0].bias.detach().clone()
            optimizer = EvolvedOptimizer(
                model.parameters(), ControllerRule(controller), total_steps=20
            )
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            model[2].weight.grad[:, :3] *= scale  # the sizes among its own elements change
            optimizer.step()
            outcomes.append(model[0].bias.detach() - before)
        moved[sends] = not torch.equal(*outcomes)
    assert moved[True]
    # without messages only what neurons know of their own edges is there
    assert torch.isfinite(outcomes[0]).all()


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)  # stands first, comes last
        self.stem = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = self.left(x) + self.right(x)
        out: Tensor = self.last(x.mean(dim=(2, 3)))
        return out


def test_a_graph_follows_the_module_and_not_the_order_of_its_layers() -> None:
    model = Branches()
    graph = NeuronGraph.of_module(model)
    named = dict(zip(dict(model.named_parameters()), graph.places, strict=True))
    stem = named["stem.weight"].out
    assert named["norm.weight"].out == stem and named["norm.bias"].out == stem
    assert named["left.weight"].into == named["right.weight"].into == stem
    assert named["last.weight"].into == named["left.weight"].out
    assert graph.fits([tuple(p.shape) for p in model.parameters()])


def test_a_layer_that_a_graph_cannot_see_is_said_once_and_has_no_edges(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.GRUCell(4, 4), nn.GRUCell(4, 4))
    with caplog.at_level(logging.WARNING):
        graph = NeuronGraph.of_module(model)
    assert caplog.text.count("GRUCell") == 1
    assert [place.into for place in graph.places[2:]] == [None] * 8


def test_a_flattened_channel_is_one_neuron() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 16, 2))
    graph = NeuronGraph.of_module(model)
    assert graph.places[2].shape == (2, 3, 16) and graph.places[2].into == graph.places[0].out


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_a_memory_holds_what_brute_force_finds_to_be_largest(decay: float) -> None:
    generator = torch.Generator().manual_seed(3)
    grads = torch.randn(60, 7, generator=generator) * torch.rand(60, 1, generator=generator)
    buffer, priorities, ages = torch.zeros(5, 7), torch.zeros(5), torch.zeros(5)
    kept: list[tuple[float, int]] = []  # priority, number of the step
    for step, g in enumerate(grads):
        buffer, priorities, ages = remember(g, buffer, priorities, ages, decay=decay)
        kept = [(priority * decay, at) for priority, at in kept]
        kept = sorted([*kept, (float(g.norm()), step)], reverse=True)[:5]
        expected = sorted(at for _, at in kept)
        found = sorted(step - int(age) for age, p in zip(ages, priorities, strict=True) if p > 0)
        assert found == expected
        rows = {at: grads[at] for at in expected}
        for row, age, priority in zip(buffer, ages, priorities, strict=True):
            assert priority == 0 or torch.equal(row, rows[step - int(age)])


def test_a_memory_of_no_size_is_the_base_with_its_mix() -> None:
    outcomes = []
    for size in (0, 4):
        model = network()
        controller = MemoryController(memory_size=size)
        train(model, controller, [*model.parameters()])
        outcomes.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)


def test_hidden_states_begin_at_zero_in_every_run() -> None:
    controller = disturbed(LSTMController())
    outcomes = []
    for _ in range(2):
        model = network()
        train(model, controller, [*model.parameters()])
        outcomes.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)


def test_logarithm_and_sign_tell_sizes_apart() -> None:
    x = torch.tensor([1.0, -(2.718281828**-5), 0.0, 1e-9])
    expected = torch.tensor([[0.0, 1.0], [-0.5, -1.0], [-1.0, 0.0], [-1.0, 1e-9 * 22026.4657948]])
    torch.testing.assert_close(log_and_sign(x, 10.0), expected)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (LSTMController, {"hidden_size": 0}),
        (LSTMController, {"preprocessing": float("nan")}),
        (TransformerController, {"hidden_size": 9, "num_heads": 2}),
        (TransformerController, {"sequence_length": 0}),
        (GraphController, {"num_rounds": 0}),
        (MemoryController, {"memory_size": -1}),
        (MemoryController, {"decay": 0.0}),
        (MemoryController, {"read": "thoroughly"}),
    ],
)
def test_sizes_out_of_range_are_refused(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        make(**arguments)

"""A step inside a function that `torch.compile` compiles is the ordinary step, compiled never."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.rules import UpdateRule
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import set_gradients


N_STEPS = 12  # more than the number of compilations at which torch gives up


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("genome", "way"),
    [
        (EVERYTHING, {}),
        (EVERYTHING, {"foreach": True}),
        (EVERYTHING, {"foreach": False}),
        (EVERYTHING, {"capturable": True}),
        (catalog["adamw"], {"capturable": True}),
        (TrustRatio(), {}),
    ],
)
def test_a_compiled_step_is_the_ordinary_one_and_never_compiles_anew(
    genome: Genome | UpdateRule, way: dict[str, bool]
) -> None:
    params = parameters()
    expected = run(EvolvedOptimizer(params, genome, total_steps=20, **way), params, range(N_STEPS))
    params = parameters()
    optimizer = EvolvedOptimizer(params, genome, total_steps=20, **way)
    counter = CompileCounter()
    step = torch.compile(optimizer.step, backend=counter)
    for i in range(N_STEPS):
        set_gradients(params, i)
        step()
    assert_equal([p.detach() for p in params], expected)
    assert counter.frame_count <= 1
    assert all(optimizer.state[p]["step"] == N_STEPS for p in params)


def test_a_compiled_training_step_with_a_scheduler_compiles_once() -> None:
    weights = []
    for compiled in (True, False):
        torch.manual_seed(0)
        model, counter = nn.Linear(4, 2), CompileCounter()
        optimizer = EvolvedOptimizer(model.parameters(), catalog["adamw"])
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, N_STEPS)

        def train(model: nn.Linear = model, optimizer: EvolvedOptimizer = optimizer) -> None:
            optimizer.zero_grad()
            (model(torch.ones(3, 4)) ** 2).sum().backward()
            optimizer.step()

        do: Any = torch.compile(train, backend=counter) if compiled else train
        for _ in range(N_STEPS):
            do()
            scheduler.step()
        assert counter.frame_count == compiled
        weights.append(model.weight.detach())
    torch.testing.assert_close(weights[0], weights[1])


def test_one_graph_of_everything_is_refused_with_the_reason() -> None:
    params = parameters()
    set_gradients(params, 0)
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    with pytest.raises(Exception, match="stays outside of graphs: compile the model"):
        torch.compile(optimizer.step, backend="eager", fullgraph=True)()
    assert not optimizer.state


def test_a_compiled_step_calls_its_closure_and_hooks_and_returns_the_loss() -> None:
    params, calls = parameters((3,)), []
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (params[0] ** 2).sum()
        loss.backward()
        return loss.detach()

    expected = (params[0].detach() ** 2).sum()
    loss: Any = torch.compile(optimizer.step, backend="eager")(closure)
    torch.testing.assert_close(loss, expected)
    assert calls == ["before"] and optimizer.state[params[0]]["step"] == 1

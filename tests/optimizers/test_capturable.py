"""Steps counted on the device are the steps counted by Python; on a GPU, also in a CUDA graph."""

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from tests.optimizers.test_evolved import CAPTURABLE
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved
from tests.optimizers.test_evolved import set_gradients


def both(genome: Genome) -> list[tuple[list[nn.Parameter], EvolvedOptimizer]]:
    pairs = []
    for capturable in (False, True):
        params = parameters((3, 2), (4,), dtype=torch.float64)
        way = {"fused": True, "capturable": capturable}
        pairs.append((params, EvolvedOptimizer(params, genome, total_steps=9, **way)))
    return pairs


@pytest.mark.parametrize("name", CAPTURABLE)
def test_a_capturable_step_is_the_ordinary_one(name: str) -> None:
    ordinary, capturable = (run(o, params, range(9)) for params, o in both(CAPTURABLE[name]))
    torch.testing.assert_close(capturable, ordinary, rtol=1e-13, atol=1e-13)


def test_a_parameter_unused_in_some_steps_has_its_own_step_count() -> None:
    ordinary, capturable = both(EVERYTHING)
    for step in range(6):
        for params, optimizer in (ordinary, capturable):
            set_gradients(params, step)
            if step % 2:
                params[0].grad = None
            optimizer.step()
    torch.testing.assert_close(capturable[0], ordinary[0], rtol=1e-13, atol=1e-13)


def test_a_learning_rate_in_a_tensor_can_change_between_steps() -> None:
    ordinary, capturable = both(catalog["adamw"])
    capturable[1].param_groups[0]["lr"] = torch.tensor(1.0, dtype=torch.float64)
    for step, lr in enumerate((0.1, 0.01)):
        ordinary[1].param_groups[0]["lr"] = lr
        capturable[1].param_groups[0]["lr"].fill_(lr)
        for params, optimizer in (ordinary, capturable):
            run(optimizer, params, range(step, step + 1))
    torch.testing.assert_close(capturable[0], ordinary[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("first", [0, 1])
def test_either_goes_on_from_a_state_of_the_other(first: int) -> None:
    pairs = both(EVERYTHING)
    uninterrupted = run(pairs[first][1], pairs[first][0], range(8))
    (before, optimizer), (after, other) = both(EVERYTHING)[first], both(EVERYTHING)[1 - first]
    run(optimizer, before, range(4))
    for p, q in zip(after, before, strict=True):
        p.data = q.data.clone()
    other.load_state_dict(saved(optimizer.state_dict()))
    torch.testing.assert_close(run(other, after, range(4, 8)), uninterrupted, rtol=1e-13, atol=0)


@pytest.mark.parametrize("way", [{"foreach": True}, {"foreach": False}, {"fused": False}])
def test_capturable_excludes_every_way_but_fused(way: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="the other ways exclude it"):
        EvolvedOptimizer(parameters(), catalog["sgd"], capturable=True, **way)


def captured(genome: Genome, n_steps: int) -> list[Tensor]:
    """Train by replays of one captured step, after two steps outside of it."""
    params = [nn.Parameter(p.detach().cuda()) for p in parameters((300, 20), (4,))]
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer = EvolvedOptimizer(params, genome, total_steps=n_steps, capturable=True)

    def next_gradients(step: int) -> None:
        fresh = parameters((300, 20), (4,))
        set_gradients(fresh, step)
        for p, q in zip(params, fresh, strict=True):
            assert p.grad is not None and q.grad is not None
            p.grad.copy_(q.grad)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for step in range(2):
            next_gradients(step)
            optimizer.step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for step in range(2, n_steps):
        next_gradients(step)
        graph.replay()
    return [p.detach().cpu() for p in params]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["everything", "sign", "adamw"])
def test_a_step_in_a_cuda_graph_is_the_ordinary_one(name: str) -> None:
    params = parameters((300, 20), (4,))
    optimizer = EvolvedOptimizer(params, CAPTURABLE[name], total_steps=9, foreach=False)
    expected = run(optimizer, params, range(9))
    torch.testing.assert_close(captured(CAPTURABLE[name], 9), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CAPTURABLE)
def test_the_gpu_kernel_is_the_readable_loop(name: str) -> None:
    outcomes = []
    for way in ({"fused": True}, {"foreach": False}):
        shapes = ((3001, 7), (4,), (), (0,))
        params = [nn.Parameter(p.detach().cuda()) for p in parameters(*shapes)]
        optimizer = EvolvedOptimizer(params, CAPTURABLE[name], total_steps=9, **way)
        for step in range(9):
            fresh = parameters(*shapes)
            set_gradients(fresh, step)
            for p, q in zip(params, fresh, strict=True):
                assert q.grad is not None
                p.grad = q.grad.cuda()
            optimizer.step()
        outcomes.append([p.detach() for p in params])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-9, atol=1e-9)

"""What holds of every kind of controller; a new kind is one line in `CONTROLLERS`."""

from collections.abc import Callable
import copy
from pathlib import Path
from typing import Any
import warnings

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import LearnedOptimizer
from optuna_evo.learned import ColumnController
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import GraphController
from optuna_evo.learned import HybridController
from optuna_evo.learned import kind_of
from optuna_evo.learned import KINDS
from optuna_evo.learned import load_controller
from optuna_evo.learned import LSTMController
from optuna_evo.learned import MemoryController
from optuna_evo.learned import MLPController
from optuna_evo.learned import save_controller
from optuna_evo.learned import TransformerController
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved


CONTROLLERS: dict[str, Callable[..., Controller]] = {
    "mlp": MLPController,
    "mlp, per parameter": lambda **given: MLPController(per_parameter=True, **given),
    "hybrid": HybridController,
    "lstm": lambda **given: LSTMController(hidden_size=6, **given),
    "transformer": TransformerController,
    "graph": GraphController,
    "memory": MemoryController,
    "column": ColumnController,
}
SHAPES = ((4, 3), (5,), (), (2, 3, 2, 2))
N = 12 + 5 + 1 + 24

every_kind = pytest.mark.parametrize("kind", CONTROLLERS)


def trained(kind: str, size: float = 0.3, **given: Any) -> Controller:
    """Return a controller whose weights, frozen ones too, are all of them moved at random."""
    controller = CONTROLLERS[kind](**given)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in (*controller.parameters(), *controller.buffers()):
            p.add_(size * torch.randn(p.shape, generator=generator))
    return controller


def own_weights(controller: Controller, n_members: int) -> dict[str, Tensor]:
    """Return the controller's weights for each of P members."""
    return {
        name: p.detach().expand(n_members, *p.shape).clone()
        for name, p in controller.named_parameters()
    }


def stacked(rule: ControllerRule | ConstantRule, n_members: int, n_steps: int) -> Tensor:
    """Return the weights of members that start alike and see the same gradients."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(N, generator=generator).repeat(n_members, 1)
    optimizer = StackOptimizer(rule, weights, total_steps=90, layout=SHAPES)
    for _ in range(n_steps):
        grads = torch.randn(N, generator=generator).repeat(n_members, 1)
        optimizer.step(weights, grads)
    return weights


def test_every_kind_of_the_package_is_held_to_the_contract() -> None:
    assert {CONTROLLERS[name]().kind for name in CONTROLLERS} == {*KINDS}
    assert all(kind_of(kind).kind == kind for kind in KINDS)


@every_kind
@pytest.mark.parametrize(("base", "fused"), [("adam", True), ("published_2025", False)])
def test_untrained_it_is_its_base_genome(kind: str, base: str, fused: bool) -> None:
    genome, outcomes = catalog[base], []
    for rule in (genome, ControllerRule(CONTROLLERS[kind](genome=genome))):
        params = parameters(*SHAPES)
        optimizer = EvolvedOptimizer(params, rule, total_steps=100, fused=fused)
        outcomes.append(run(optimizer, params, range(100)))
    assert_equal(*outcomes)


@every_kind
def test_untrained_it_is_its_base_genome_in_a_stack(kind: str) -> None:
    constant = ConstantRule([catalog["adamw"].rule] * 3)
    controller = CONTROLLERS[kind](genome=catalog["adamw"])
    shared = ControllerRule(controller)
    own = ControllerRule(controller, weights=own_weights(controller, 3))
    expected = stacked(constant, 3, 100)
    assert torch.equal(stacked(shared, 3, 100), expected)
    assert torch.equal(stacked(own, 3, 20), stacked(constant, 3, 20))


@every_kind
def test_every_meta_parameter_changes_the_update(kind: str) -> None:
    controller = trained(kind)
    counts = {name: p.numel() for name, p in controller.named_parameters()}
    total = sum(counts.values())
    weights = own_weights(controller, total + 1)
    first = 0  # the last member stays as it is
    for name, count in counts.items():
        rows = torch.arange(first, first + count)
        weights[name].view(total + 1, -1)[rows, torch.arange(count)] += 0.5
        first += count
    outcomes = stacked(ControllerRule(controller, weights=weights), total + 1, 4)
    names = [f"{n}[{i}]" for n, c in counts.items() for i in range(c)]
    assert bool(outcomes.isfinite().all())
    silent = (outcomes[:-1] == outcomes[-1]).all(dim=1)
    assert not bool(silent.any()), [n for n, s in zip(names, silent, strict=True) if s]


@every_kind
def test_answers_can_be_differentiated_in_every_meta_parameter(kind: str) -> None:
    controller = trained(kind)
    rule = ControllerRule(controller)
    weights, grads = torch.randn(2, 1, N, generator=torch.Generator().manual_seed(0))
    optimizer = StackOptimizer(rule, weights, total_steps=90, layout=SHAPES)
    coefficients: Any = rule.start(SHAPES, 1, 100, weights.device)
    state, total = coefficients.state, torch.zeros(())
    for step in range(1, 4):
        seen = optimizer.observe(weights, step * grads)
        numbers, directions, state = coefficients.evaluate(step, seen, state=state)
        total = total + 1e3 * numbers[..., :-8].square().sum().float()
        if directions is not None:
            total = total + directions.square().sum()
    found = torch.autograd.grad(total, list(controller.parameters()), allow_unused=True)
    for (name, _), g in zip(controller.named_parameters(), found, strict=True):
        assert g is not None and bool(g.isfinite().all()) and bool(g.any()), name


@every_kind
def test_a_member_with_weights_of_its_own_trains_as_it_would_alone(kind: str) -> None:
    controllers = [trained(kind, size) for size in (0.1, 0.3)]
    with torch.no_grad():  # what is frozen is one for all members
        for buffer, first in zip(controllers[1].buffers(), controllers[0].buffers(), strict=True):
            buffer.copy_(first)
    own = {
        name: torch.stack([dict(c.named_parameters())[name].detach() for c in controllers])
        for name, _ in controllers[0].named_parameters()
    }
    together = stacked(ControllerRule(controllers[0], weights=own), 2, 6)
    alone = [stacked(ControllerRule(c), 1, 6)[0] for c in controllers]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*together)


@every_kind
def test_a_run_goes_on_bit_for_bit_from_a_saved_state(kind: str) -> None:
    params = parameters(*SHAPES)
    whole = run(LearnedOptimizer(params, trained(kind), total_steps=20), params, range(8))
    params = parameters(*SHAPES)
    first, second = (LearnedOptimizer(params, trained(kind), total_steps=20) for _ in range(2))
    run(first, params, range(5))
    second.load_state_dict(saved(first.state_dict()))
    assert_equal(run(second, params, range(5, 8)), whole)


@every_kind
def test_two_runs_agree(kind: str) -> None:
    outcomes = []
    for _ in range(2):
        params = parameters(*SHAPES)
        optimizer = LearnedOptimizer(params, trained(kind), total_steps=20)
        outcomes.append(run(optimizer, params, range(8)))
    assert_equal(*outcomes)


@every_kind
def test_a_copy_in_training_goes_on_like_the_original(kind: str) -> None:
    params = parameters(*SHAPES)
    optimizer = LearnedOptimizer(params, trained(kind), total_steps=20)
    run(optimizer, params, range(3))
    twin = copy.deepcopy(optimizer)
    twins = twin.param_groups[0]["params"]
    assert_equal(run(twin, twins, range(3, 6)), run(optimizer, params, range(3, 6)))


@every_kind
def test_members_that_leave_or_begin_anew_disturb_no_other(kind: str) -> None:
    rule = ControllerRule(trained(kind))
    grads = torch.randn(6, 3, N, generator=torch.Generator().manual_seed(0))
    whole, part, fresh = torch.ones(3, N), torch.ones(3, N), torch.ones(1, N)
    stack, other = (StackOptimizer(rule, w, total_steps=9, layout=SHAPES) for w in (whole, part))
    alone = StackOptimizer(rule, fresh, total_steps=9, layout=SHAPES)
    for g in grads[:3]:
        stack.step(whole, g)
        other.step(part, g)
    part = part[[0, 2]].clone()
    other.select([0, 2])
    part[1] = 1
    other.restart([1])
    for g in grads[3:]:
        stack.step(whole, g)
        other.step(part, g[[0, 2]])
        alone.step(fresh, g[2:])
    torch.testing.assert_close(part[0], whole[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part[1], fresh[0], rtol=1e-4, atol=1e-5)


@every_kind
def test_it_is_written_and_read_as_a_folder(kind: str, tmp_path: Path) -> None:
    controller = trained(kind, genome=catalog["adamw"])
    save_controller(controller, tmp_path / "mine")
    read = load_controller(tmp_path / "mine")
    assert read.settings == controller.settings and type(read) is type(controller)
    rules = [ControllerRule(c) for c in (controller, read)]
    assert rules[0].fingerprint() == rules[1].fingerprint()
    assert torch.equal(*(stacked(rule, 1, 3) for rule in rules))


@every_kind
def test_it_trains_any_module(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, 8)
    )
    model[4].weight = model[3].bias = None  # type: ignore[assignment]
    model[4] = nn.Linear(8, 8)
    model[3] = nn.Linear(48, 8)
    model[4].bias.requires_grad_(False)
    scale = nn.Parameter(torch.tensor(1.0))
    params = [*model.parameters(), scale]
    optimizer = LearnedOptimizer(params, trained(kind, 0.01), total_steps=20)
    before = [p.detach().clone() for p in params]
    for _ in range(3):
        images = torch.randn(6, 1, 6, 6, generator=generator)
        optimizer.zero_grad()
        (scale * model(images)).square().mean().backward()
        optimizer.step()
    moved = [not torch.equal(p, b) for p, b in zip(params, before, strict=True)]
    assert moved == [p.requires_grad for p in params]
    assert all(bool(p.isfinite().all()) for p in params)


@every_kind
def test_it_trains_weights_of_other_types(kind: str) -> None:
    for dtype in (torch.bfloat16, torch.float64):
        params = [
            nn.Parameter(torch.ones(4, 3, dtype=dtype)),
            nn.Parameter(torch.ones(3).to(dtype)),
        ]
        optimizer = LearnedOptimizer(params, trained(kind, 0.01), total_steps=20, lr=30.0)
        for _ in range(3):
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
        assert all(p.dtype is dtype and bool((p < 1).all()) for p in params)


@every_kind
def test_infinite_and_missing_gradients_leave_the_controller_healthy(kind: str) -> None:
    params = parameters((4, 3), (5,))
    optimizer = LearnedOptimizer(params, trained(kind, 0.01), total_steps=20)
    params[0].grad = torch.ones_like(params[0])  # the other has none
    optimizer.step()
    run(optimizer, params, range(2))
    assert all(bool(p.isfinite().all()) for p in params)


@every_kind
@pytest.mark.gpu
def test_it_trains_a_stack_on_a_gpu_as_on_a_cpu(kind: str) -> None:
    controller = trained(kind)
    outcomes = []
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(3, N, generator=generator).to(device)
        own = {name: w.to(device) for name, w in own_weights(controller, 3).items()}
        rule = ControllerRule(controller.to(device), weights=own)
        optimizer = StackOptimizer(rule, weights, total_steps=90, layout=SHAPES)
        for _ in range(5):
            optimizer.step(weights, torch.randn(3, N, generator=generator).to(device))
        outcomes.append(weights.cpu())
    torch.testing.assert_close(*outcomes, rtol=1e-3, atol=1e-4)


@every_kind
@pytest.mark.gpu
def test_its_numbers_never_wait_for_a_gpu(kind: str) -> None:
    device = torch.device("cuda")
    controller = trained(kind).to(device)
    weights = torch.randn(3, N, device=device)
    rule = ControllerRule(controller)
    optimizer = StackOptimizer(rule, weights, total_steps=90, layout=SHAPES)
    coefficients: Any = rule.start(SHAPES, 3, 100, device)
    seen = optimizer.observe(weights, weights.clone())
    for step in (1, 2, 3):
        coefficients.evaluate(step, seen)
    mode = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Synchronization debug mode")
            torch.cuda.set_sync_debug_mode("error")
        coefficients.evaluate(4, seen)
    finally:
        torch.cuda.set_sync_debug_mode(mode)

"""A controller that was not trained is its base genome; a trained one steps as it answers."""

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo import LearnedOptimizer
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run


SHAPES = ((4, 3), (5,), (), (2, 3, 2, 2))
BASES = ["adamw", "sgd", "lion", "published_2025"]
WAYS: list[dict[str, bool]] = [{"fused": True}, {"foreach": True}, {"foreach": False}]


def perturbed(controller: Controller, size: float = 0.1, seed: int = 0) -> Controller:
    """Return the controller with weights that are not 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in controller.parameters():
            p += size * torch.randn(p.shape, generator=generator)
    return controller


def members(controller: Controller, n_members: int, size: float = 0.1) -> dict[str, Tensor]:
    """Return weights for each of P members."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: p.detach() + size * torch.randn(n_members, *p.shape, generator=generator)
        for name, p in controller.named_parameters()
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("base", BASES)
def test_an_untrained_controller_is_its_base_genome(base: str, way: dict[str, bool]) -> None:
    genome, outcomes = catalog[base], []
    for rule in (genome, ControllerRule(MLPController(genome=genome))):
        params = parameters(*SHAPES)
        optimizer = EvolvedOptimizer(params, rule, total_steps=100, **way)
        outcomes.append(run(optimizer, params, range(30)))
    assert_equal(*outcomes)


@pytest.mark.parametrize("base", BASES)
def test_an_untrained_controller_is_its_base_genome_in_a_stack(base: str) -> None:
    genome, outcomes = catalog[base], []
    constant = ConstantRule([genome.rule] * 3)
    learned = ControllerRule(MLPController(genome=genome))
    size = sum(torch.Size(shape).numel() for shape in SHAPES)
    for rule in (constant, learned):
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(3, size, generator=generator)
        optimizer = StackOptimizer(rule, weights, total_steps=100, layout=SHAPES)
        for _ in range(30):
            optimizer.step(weights, torch.randn(3, size, generator=generator))
        outcomes.append(weights)
    assert torch.equal(*outcomes)


def test_members_with_weights_of_their_own_train_as_each_alone() -> None:
    controller = MLPController()
    weights_of = members(controller, 3)
    size = sum(torch.Size(shape).numel() for shape in SHAPES)
    start, grads = torch.randn(2, 7, 3, size, generator=torch.Generator().manual_seed(0))
    together = start[0].clone()
    rule = ControllerRule(controller, weights=weights_of)
    stack = StackOptimizer(rule, together, total_steps=7, layout=SHAPES)
    for step in range(7):
        stack.step(together, grads[step])
    for i in range(3):
        own = MLPController()
        own.load_state_dict({name: w[i] for name, w in weights_of.items()})
        params = [nn.Parameter(p) for p in _parts(start[0][i].clone())]
        optimizer = EvolvedOptimizer(params, ControllerRule(own), total_steps=7)
        for step in range(7):
            for p, g in zip(params, _parts(grads[step][i]), strict=True):
                p.grad = g.clone()
            optimizer.step()
        alone = torch.cat([p.detach().flatten() for p in params])
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-5)
        assert not torch.equal(together[i], start[0][i])
    assert not torch.allclose(together[0] - start[0][0], together[1] - start[0][1])


def test_a_member_that_begins_anew_goes_on_as_a_fresh_one() -> None:
    controller = perturbed(MLPController())
    layout, grads = (
        [(3, 2), (2,)],
        torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(0)),
    )
    weights = torch.ones(2, 8)
    optimizer = StackOptimizer(ControllerRule(controller), weights, total_steps=9, layout=layout)
    for g in grads[:3]:
        optimizer.step(weights, g)
    weights[1] = 1
    optimizer.restart([1])
    fresh = torch.ones(1, 8)
    other = StackOptimizer(ControllerRule(controller), fresh, total_steps=9, layout=layout)
    for g in grads[3:]:
        optimizer.step(weights, g)
        other.step(fresh, g[1:])
    torch.testing.assert_close(weights[1:], fresh, rtol=1e-5, atol=1e-6)


def test_numbers_can_be_differentiated_with_respect_to_weights() -> None:
    controller = perturbed(MLPController())
    layout = [(3, 2), (2,)]
    rule = ControllerRule(controller)
    coefficients = rule.start(layout, 2, 9, torch.device("cpu"))
    weights = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    optimizer = StackOptimizer(rule, weights, total_steps=9, layout=layout)
    seen = optimizer.observe(weights, 2 * weights)
    numbers, _, _ = coefficients.evaluate(1, seen)
    grads = torch.autograd.grad(numbers.square().sum(), list(controller.parameters()))
    assert all(bool(g.isfinite().all()) and bool(g.any()) for g in grads)


def test_a_controller_that_sees_the_time_needs_the_length_of_a_run() -> None:
    rule = ControllerRule(MLPController())
    with pytest.raises(ValueError, match="say the length of the run by `total_steps"):
        StackOptimizer(rule, torch.ones(2, 8), total_steps=None, layout=[(8,)])


def test_an_unknown_mix_is_refused() -> None:
    with pytest.raises(ValueError, match="`mixes` must be some of .* got"):
        MLPController(mixes=["ADAM"])


def test_making_a_controller_leaves_the_generator_of_torch_alone() -> None:
    before = torch.get_rng_state()
    one, two = MLPController(seed=1), MLPController(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(*[next(c.parameters()) for c in (one, two)])


def test_a_base_without_momentum_gets_one_for_its_mixes() -> None:
    rule = ControllerRule(MLPController(genome=Genome(terms=[("GRAD", 1.0)], lr=0.1)))
    assert rule.needs == {"m", "v"}


def _parts(flat: Tensor) -> list[Tensor]:
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    return [t.reshape(s) for t, s in zip(flat.split(sizes), SHAPES, strict=True)]


@pytest.mark.parametrize("weight", [float("nan"), 3e38])
def test_an_answer_that_is_no_number_gives_weights_that_are_none(weight: float) -> None:
    controller = MLPController()  # its base reads but one average
    with torch.no_grad():
        for p in controller.parameters():
            p.fill_(weight)
    model = nn.Linear(3, 2)
    optimizer = LearnedOptimizer(model.parameters(), controller, total_steps=4)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    assert model.weight.isnan().all()  # a training sees that it diverged

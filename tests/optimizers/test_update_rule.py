"""The shell and the stack run any update rule, as its equations say."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule
from tests.optimizers.rules import Orthogonal
from tests.optimizers.rules import polar
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved
from tests.optimizers.test_evolved import set_gradients


WAYS: list[dict[str, bool]] = [{"fused": True}, {"foreach": True}, {"foreach": False}]
SHAPES = ((4, 3), (5,), ())
RULES: dict[str, UpdateRule] = {"trust ratio": TrustRatio(), "orthogonal": Orthogonal()}


def trust_ratio_written_out(params: list[Tensor], n_steps: int, lr: float = 0.1) -> list[Tensor]:
    ratios, ms = [0.0] * len(params), [torch.zeros_like(p) for p in params]
    for step in range(n_steps):
        for i, g in enumerate(drawn(params, step)):
            w = params[i]
            ratios[i] = 0.8 * ratios[i] + 0.2 * float(w.norm() / g.norm())
            ms[i] = 0.9 * ms[i] + 0.1 * g
            params[i] = w - lr * ratios[i] * ms[i]
    return params


def orthogonal_written_out(params: list[Tensor], n_steps: int) -> list[Tensor]:
    ms = [torch.zeros_like(p) for p in params]
    for step in range(n_steps):
        for i, g in enumerate(drawn(params, step)):
            ms[i] = 0.9 * ms[i] + 0.1 * g
            moved = 0.1 * polar(ms[i]) if g.ndim == 2 else 0.01 * ms[i].sign()
            params[i] = 0.99 * params[i] - moved
    return params


def drawn(params: list[Tensor], step: int) -> list[Tensor]:
    twins = [nn.Parameter(p.clone()) for p in params]
    set_gradients(twins, step)
    return [p.grad for p in twins if p.grad is not None]


WRITTEN_OUT = {"trust ratio": trust_ratio_written_out, "orthogonal": orthogonal_written_out}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_observes_trains_as_its_equations_say(name: str, way: dict[str, bool]) -> None:
    params = parameters(*SHAPES)
    expected = WRITTEN_OUT[name]([p.detach().clone() for p in params], 7)
    ours = run(EvolvedOptimizer(params, RULES[name], **way), params, range(7))
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", RULES)
def test_a_rule_trains_a_stack_as_each_member_alone(
    name: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr("optuna_evo.optimizers._flat.has_kernel", lambda *_: False)
    members = [[(1 + i) * p.detach() for p in parameters(*SHAPES)] for i in range(3)]
    weights = torch.stack([torch.cat([p.flatten() for p in member]) for member in members])
    optimizer = StackOptimizer(RULES[name], weights, total_steps=7, layout=SHAPES)
    stays = [0, 2]
    for step in range(7):
        if step == 3:
            weights = weights[stays]
            optimizer.select(stays)
        grads = torch.cat([g.flatten() for g in drawn(members[0], step)])
        optimizer.step(weights, grads.expand(len(weights), -1).contiguous())
    for member, ours in zip(stays, weights, strict=True):
        alone = torch.cat([p.flatten() for p in WRITTEN_OUT[name](members[member], 7)])
        torch.testing.assert_close(ours, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_run_of_a_rule_goes_on_bit_for_bit_from_a_saved_state(name: str) -> None:
    params = parameters(*SHAPES)
    uninterrupted = run(EvolvedOptimizer(params, RULES[name]), params, range(8))
    params = parameters(*SHAPES)
    first, second = (EvolvedOptimizer(params, RULES[name]) for _ in range(2))
    run(first, params, range(5))
    second.load_state_dict(saved(first.state_dict()))
    assert_equal(run(second, params, range(5, 8)), uninterrupted)


def test_a_copy_of_a_rule_in_training_goes_on_like_the_original() -> None:
    params = parameters(*SHAPES)
    optimizer = EvolvedOptimizer(params, TrustRatio())
    run(optimizer, params, range(3))
    twin = copy.deepcopy(optimizer)
    twin_params = twin.param_groups[0]["params"]
    assert_equal(run(twin, twin_params, range(3, 6)), run(optimizer, params, range(3, 6)))


def test_a_stack_goes_on_from_a_saved_state() -> None:
    weights, twin = torch.ones(2, 2, 12, dtype=torch.float64)
    rule, layout = TrustRatio(), [(4, 3)]
    first, second = (StackOptimizer(rule, weights, total_steps=9, layout=layout) for _ in range(2))
    grads = torch.linspace(-1, 2, 24).double().view(2, 12)
    first.scale_lr([1.0, 0.5])
    first.step(weights, grads)
    twin.copy_(weights)
    second.load_state_dict(saved(first.state_dict()))
    for optimizer, w in ((first, weights), (second, twin)):
        optimizer.step(w, 2 * grads)
    assert torch.equal(weights, twin) and not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("other", [TrustRatio(lr=0.2), catalog["adamw"]])
def test_a_state_of_another_rule_is_refused(other: Any) -> None:
    state = EvolvedOptimizer(parameters(), other).state_dict()
    with pytest.raises(ValueError, match="does not belong to rule trust-ratio-0.1"):
        EvolvedOptimizer(parameters(), TrustRatio()).load_state_dict(state)


def test_a_learning_rate_of_a_group_multiplies_that_of_the_rule() -> None:
    (a, b), twins = parameters((4, 3), (5,)), parameters((4, 3), (5,))
    slow, fast = EvolvedOptimizer([a], TrustRatio(lr=0.05)), EvolvedOptimizer([b], TrustRatio())
    groups = [{"params": [twins[0]], "lr": 0.5}, {"params": [twins[1]]}]
    together = EvolvedOptimizer(groups, TrustRatio())
    for step in range(4):
        for params, optimizers in (([a, b], (slow, fast)), (twins, (together,))):
            set_gradients(params, step)
            for optimizer in optimizers:
                optimizer.step()
    torch.testing.assert_close(twins, [a, b], rtol=1e-13, atol=0)


def test_a_learning_rate_scales_the_weight_decay_of_a_rule() -> None:
    (p,) = parameters((5,))
    optimizer, before = (
        EvolvedOptimizer([{"params": [p], "lr": 0.5}], Orthogonal()),
        p.detach() + 0,
    )
    p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(p.detach(), before * (1 - 0.01 * 0.5))


def test_a_rule_leaves_a_parameter_without_gradient_alone() -> None:
    params = parameters((4, 3), (5,))
    before = params[0].detach().clone()
    optimizer = EvolvedOptimizer(params, Orthogonal())
    set_gradients(params[1:], 0)
    optimizer.step()
    assert torch.equal(params[0], before) and params[0] not in optimizer.state


@pytest.mark.parametrize("way", WAYS)
def test_constant_coefficients_are_those_of_the_genome(way: dict[str, bool]) -> None:
    outcomes = []
    for rule in (catalog["published_2025"], ConstantRule([catalog["published_2025"].rule])):
        params = parameters(*SHAPES)
        outcomes.append(
            run(EvolvedOptimizer(params, rule, total_steps=9, **way), params, range(9))
        )
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-13, atol=1e-13)


def test_maximize_shows_a_rule_the_gradients_that_it_descends() -> None:
    outcomes = []
    for maximize, sign in ((True, 1.0), (False, -1.0)):
        params = parameters(*SHAPES)
        optimizer = EvolvedOptimizer(params, Orthogonal(), maximize=maximize)
        outcomes.append(run(optimizer, params, range(3), sign=sign))
    assert_equal(*outcomes)


def test_a_rule_cannot_be_captured() -> None:
    with pytest.raises(ValueError, match="`capturable` is for genomes"):
        EvolvedOptimizer(parameters(), TrustRatio(), capturable=True)


def test_a_layout_that_does_not_hold_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold the 12 weights of a member, got .* with 13"):
        StackOptimizer(TrustRatio(), torch.ones(2, 12), total_steps=9, layout=[(4, 3), ()])


def test_as_many_rules_as_members_are_asked_for() -> None:
    rule = ConstantRule([catalog["adamw"].rule])
    with pytest.raises(ValueError, match="1 rules for 2 members"):
        StackOptimizer(rule, torch.ones(2, 12), total_steps=9)

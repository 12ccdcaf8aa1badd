"""The flat update of whole rules, for one model and for a population, against the rows."""

import pytest
import torch

from optuna_evo import catalog
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.optimizers import update_flat
from optuna_evo.rules import FROZEN
from tests.optimizers.steps import by_rows
from tests.optimizers.steps import gradients
from tests.optimizers.steps import of_rules
from tests.optimizers.steps import random_rules
from tests.optimizers.steps import SIZE


@pytest.mark.parametrize("fused", [True, False])
def test_a_population_of_rules_trains_as_each_alone(fused: bool) -> None:
    rules, grads = random_rules(30), gradients(20)
    params = torch.ones(30, SIZE, dtype=torch.float64)
    averages = {symbol: torch.zeros_like(params) for symbol in ("m", "v")}
    for step, g in enumerate(grads, start=1):
        update_flat(params, g.expand(30, -1), averages, of_rules(rules, step), fused=fused)
    all_numbers = [of_rules(rules, step).tolist() for step in range(1, 21)]
    expected = [by_rows([rows[i] for rows in all_numbers], grads) for i in range(30)]
    torch.testing.assert_close(params, torch.stack(expected), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fused", [True, False])
def test_one_row_of_numbers_serves_all_members(fused: bool) -> None:
    (numbers,) = of_rules(random_rules(1), 1)
    params = torch.ones(2, SIZE, dtype=torch.float64)
    averages = {symbol: torch.zeros_like(params) for symbol in ("m", "v")}
    g = gradients(1)[0]
    update_flat(params, torch.stack([g, -g]), averages, numbers, fused=fused)
    for member, sign in zip(params, (1, -1), strict=True):
        torch.testing.assert_close(member, by_rows([numbers.tolist()], [sign * g]))


@pytest.mark.parametrize("fused", [True, False])
def test_a_frozen_member_keeps_its_weights_whatever_its_gradients(fused: bool) -> None:
    params = torch.arange(6.0).view(2, 3)
    grads = torch.tensor([[1.0, 1.0, 1.0], [torch.nan, torch.inf, -torch.inf]])
    rows = [*of_rules(random_rules(1), 1).tolist(), FROZEN]
    averages = {symbol: torch.zeros(2, 3) for symbol in ("m", "v")}
    update_flat(params, grads, averages, torch.tensor(rows, dtype=torch.float64), fused=fused)
    assert params[1].tolist() == [3.0, 4.0, 5.0]
    assert params[0].tolist() != [0.0, 1.0, 2.0]


def test_members_of_a_stack_go_on_as_they_were_when_others_leave() -> None:
    names = ("adamw", "published_2025", "sgd", "momentum")
    rules = ConstantRule([catalog[name].rule for name in names])
    whole = torch.ones(4, SIZE, dtype=torch.float64)
    part, grads = whole.clone(), gradients(9)
    optimizers = [StackOptimizer(rules, weights, total_steps=9) for weights in (whole, part)]
    stays = [0, 2, 3]
    for step, g in enumerate(grads):
        for optimizer, weights in zip(optimizers, (whole, part), strict=True):
            (numbers,) = optimizer.numbers(step, step + 1)
            optimizer.step(weights, g.expand(len(weights), -1), numbers)
        if step == 4:
            part = part[stays]
            optimizers[1].select(stays)
            optimizers[0].scale_lr([0.5, 1.0, 1.0, 2.0])
            optimizers[1].scale_lr([0.5, 1.0, 2.0])
    torch.testing.assert_close(part, whole[stays], rtol=0, atol=0)
    assert not torch.equal(whole[0], whole[1])

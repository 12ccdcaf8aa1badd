"""The flat update, for one model and for a population, against the readable loop."""

import numpy as np
import pytest
import torch
from torch import Tensor

from optuna_evo import Genome
from optuna_evo.optimizers._flat import update_flat
from optuna_evo.optimizers._update import foreach_update
from optuna_evo.optimizers._update import FROZEN
from optuna_evo.optimizers._update import reference_update
from optuna_evo.optimizers._update import Scalars
from optuna_evo.rules import Direction
from optuna_evo.rules import Rule
from tests.optimizers import published_loop


SIZE = 37


def random_rules(count: int) -> list[Rule]:
    rng = np.random.default_rng(0)
    return [Genome.from_dict(published_loop.random_seed(rng)).rule for _ in range(count)]


def one_term(direction: Direction) -> Rule:
    kinds = "GRAD MOMENTUM RMS_NORM ADAM_TERM SIGN_GRAD SQRT_GRAD ADAM_TERM".split()
    use_v = direction != Direction.MOMENTUM_OVER_ABS
    genome = Genome(terms=[(kinds[direction], 1.0)], lr=0.1, use_v=use_v)
    assert [bool(c) for c in genome.rule.coefficients].index(True) == direction
    return genome.rule


def scalars(rule: Rule, step: int) -> Scalars:
    """Return the numbers of step 1, 2, …"""
    return Scalars(
        coefficients=rule.coefficients,
        lr=rule.lr * rule.lr_scale(step - 1, 20),
        beta1=rule.beta1,
        beta2=rule.beta2,
        eps=rule.eps,
        weight_decay=rule.weight_decay,
        clip_value=rule.clip_value,
        correction_m=1 - rule.beta1**step if rule.bias_correction else 1.0,
        correction_v=1 - rule.beta2**step if rule.bias_correction else 1.0,
    )


def gradients(n_steps: int) -> list[Tensor]:
    rng = np.random.default_rng(1)
    return [torch.from_numpy(g) for g in published_loop.wide_gradients(rng, n_steps, SIZE)]


def by_loop(rule: Rule, grads: list[Tensor]) -> Tensor:
    w = torch.ones(SIZE, dtype=torch.float64)
    ms = [torch.zeros_like(w)] if rule.needs_m else []
    vs = [torch.zeros_like(w)] if rule.needs_v else []
    for step, g in enumerate(grads, start=1):
        reference_update([w], [g], ms, vs, scalars(rule, step))
    return w


def numbers_of(rules: list[Rule], step: int) -> Tensor:
    rows = [scalars(rule, step).numbers() for rule in rules]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("fused", [True, False])
def test_a_population_of_rules_trains_as_each_alone(fused: bool) -> None:
    rules, grads = random_rules(30), gradients(20)
    params = torch.ones(30, SIZE, dtype=torch.float64)
    exp_avg, exp_avg_sq = torch.zeros_like(params), torch.zeros_like(params)
    for step, g in enumerate(grads, start=1):
        numbers = numbers_of(rules, step)
        update_flat(params, g.expand(30, -1), exp_avg, exp_avg_sq, numbers, fused=fused)
    expected = torch.stack([by_loop(rule, grads) for rule in rules])
    torch.testing.assert_close(params, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("direction", Direction)
def test_one_model_trains_with_only_the_averages_that_its_rule_reads(
    direction: Direction, fused: bool
) -> None:
    rule, grads = one_term(direction), gradients(20)
    params = torch.ones(SIZE, dtype=torch.float64)
    exp_avg = torch.zeros_like(params) if rule.needs_m else None
    exp_avg_sq = torch.zeros_like(params) if rule.needs_v else None
    for step, g in enumerate(grads, start=1):
        update_flat(params, g, exp_avg, exp_avg_sq, numbers_of([rule], step)[0], fused=fused)
    torch.testing.assert_close(params, by_loop(rule, grads), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fused", [True, False])
def test_a_frozen_member_keeps_its_weights_whatever_its_gradients(fused: bool) -> None:
    params = torch.arange(6.0).view(2, 3)
    grads = torch.tensor([[1.0, 1.0, 1.0], [torch.nan, torch.inf, -torch.inf]])
    (rule,) = random_rules(1)
    numbers = torch.tensor([scalars(rule, 1).numbers(), FROZEN], dtype=torch.float64)
    update_flat(params, grads, torch.zeros(2, 3), torch.zeros(2, 3), numbers, fused=fused)
    assert params[1].tolist() == [3.0, 4.0, 5.0]
    assert params[0].tolist() != [0.0, 1.0, 2.0]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_gradient_that_is_not_finite_does_the_same_in_every_update(
    direction: Direction, value: float
) -> None:
    rule, g = one_term(direction), torch.tensor([value, 1.0])
    s, outcomes = scalars(rule, 1), []
    for update in (reference_update, foreach_update):
        w, state = torch.ones(2), [[torch.zeros(2)] * n for n in (rule.needs_m, rule.needs_v)]
        update([w], [g], *state, s)
        outcomes.append(w)
    for fused in (True, False):
        w, m, v = torch.ones(2), torch.zeros(2), torch.zeros(2)
        update_flat(w, g, m, v, torch.tensor(s.numbers(), dtype=torch.float64), fused=fused)
        outcomes.append(w)
    for outcome in outcomes[1:]:
        torch.testing.assert_close(outcome, outcomes[0], equal_nan=True)

"""A rule that adapts online notices another task, and leaves a stationary run alone."""

from collections.abc import Callable
import dataclasses

import pytest
import torch
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.errors import UsageError
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.learned import OnlineRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule


COSINE = dataclasses.replace(catalog["adam"], lr=0.3, use_cosine_decay=True)


def losses(
    rule: UpdateRule, *, switch: int = 10**9, n_steps: int = 100, told: bool = True
) -> Tensor:
    """Return the losses (S, P) of two members on |w - target|^2; the target switches."""
    weights = torch.zeros(2, 6, dtype=torch.float64)
    optimizer = StackOptimizer(rule, weights, total_steps=n_steps, layout=[(3, 2)])
    random = torch.Generator().manual_seed(0)
    found = []
    for step in range(n_steps):
        target = torch.tensor([[-3.0], [1.0]] if step >= switch else [[1.0], [1.0]]).double()
        loss = (weights - target).square().sum(1) + 0.05
        noise = 0.02 * torch.randn(2, 6, generator=random, dtype=torch.float64)
        if told and isinstance(rule, OnlineRule):
            rule.feedback(loss)
        optimizer.step(weights, 2 * (weights - target) + noise)
        found.append(loss)
    return torch.stack(found)


def frozen() -> ControllerRule:
    return ControllerRule(MLPController(genome=COSINE))


def test_a_member_whose_task_changes_begins_anew_and_the_other_does_not() -> None:
    ours, theirs = losses(OnlineRule(COSINE, rate=0.0), switch=70), losses(frozen(), switch=70)
    assert float(ours[-1, 0]) < 0.2 * float(theirs[-1, 0])
    assert torch.equal(ours[:, 1], theirs[:, 1])


def test_a_stationary_run_is_that_of_the_rule_bit_for_bit_without_a_rate() -> None:
    assert torch.equal(losses(OnlineRule(COSINE, rate=0.0)), losses(frozen()))


def test_without_feedback_no_change_of_task_is_noticed() -> None:
    untold = losses(OnlineRule(COSINE, rate=0.0), switch=70, told=False)
    assert torch.equal(untold, losses(frozen(), switch=70))


@pytest.mark.parametrize("arguments", [{"rate": 0.1}, {"rate": 0.0, "exploration": 0.7}])
def test_too_small_a_rate_grows_by_hypergradient_or_by_exploration(
    arguments: dict[str, float],
) -> None:
    slow = dataclasses.replace(catalog["adam"], lr=1e-3)
    plain = losses(OnlineRule(slow, rate=0.0), n_steps=160)
    assert float(losses(OnlineRule(slow, **arguments), n_steps=160)[-1, 1]) < 0.8 * float(
        plain[-1, 1]
    )


def test_a_run_goes_on_bit_for_bit_from_a_saved_state() -> None:
    def trained(n_first: int) -> Tensor:
        p = torch.nn.Parameter(torch.ones(4))
        rule = OnlineRule(COSINE, exploration=0.3)
        optimizer = EvolvedOptimizer([p], rule, total_steps=60)
        for step in range(40):
            if step == n_first:
                state = optimizer.state_dict()
                rule = OnlineRule(COSINE, exploration=0.3)
                optimizer = EvolvedOptimizer([p], rule, total_steps=60)
                optimizer.load_state_dict(state)
            target = 1.0 if step < 20 else -9.0
            loss = (p - target).square().sum()
            (p.grad,) = torch.autograd.grad(loss, p)
            rule.feedback(loss)
            optimizer.step()
        return p.detach()

    uninterrupted = trained(10**9)
    assert torch.equal(trained(15), uninterrupted) and torch.equal(trained(30), uninterrupted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: OnlineRule(g, rate=-1.0), "`rate` must be >= 0"),
        (lambda g: OnlineRule(g, exploration=-0.5), "`exploration` must be >= 0, got -0.5"),
    ],
)
def test_a_wrong_number_is_one_line(make: Callable[[Genome], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(COSINE)

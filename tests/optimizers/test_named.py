"""Optimizers of torch by name: they are torch's own, routed and scheduled as the config says."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import ParamGroup
from optuna_evo.errors import UsageError
from optuna_evo.optimizers import build_named
from optuna_evo.optimizers import check_named
from optuna_evo.optimizers import TorchOptimizers


NAMES = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adafactor", "Adagrad", "Adamax")
MATRICES = ParamGroup(optimizer="Muon", options={"lr": 0.02}, dims=(2,))
REST = ParamGroup(optimizer="AdamW", options={"lr": 1e-2})


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer | TorchOptimizers, n: int) -> None:
    inputs = torch.linspace(-1, 1, 24).view(6, 4)
    for _ in range(n):
        optimizer.zero_grad()
        model(inputs).pow(2).sum().backward()
        optimizer.step()


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_a_named_optimizer_is_torchs_own(name: str) -> None:
    ours, theirs = network(), network()
    options = {"lr": 1e-2, "weight_decay": 0.1}
    train(ours, build_named(NamedOptimizer.of(name, **options), ours, total_steps=None), 5)
    train(theirs, getattr(torch.optim, name)(theirs.parameters(), **options), 5)
    assert equal(ours, theirs) and not equal(ours, network())


def test_the_first_group_that_matches_trains_a_parameter() -> None:
    config = NamedOptimizer(
        groups=[dataclasses.replace(REST, pattern=r"^2\.", options={"lr": 0.0}), MATRICES, REST]
    )
    model, before = network(), network()
    optimizer = build_named(config, model, total_steps=None)
    train(model, optimizer, 3)
    moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before.parameters(),
                                                   strict=True)]  # fmt: skip
    assert moved == [True, True, False, False]
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.02, 1e-2]


def test_warm_up_and_cosine_are_those_of_torchs_schedulers() -> None:
    config = dataclasses.replace(NamedOptimizer.of("SGD", lr=0.1), warmup_steps=4, cosine=True)
    ours, theirs = network(), network()
    train(ours, build_named(config, ours, total_steps=12), 12)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min(1, (t + 1) / 4) * 0.5 * (1 + math.cos(math.pi * t / 12))
    )
    for _ in range(12):
        train(theirs, optimizer, 1)
        schedule.step()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("name", [*NAMES, "routed"])
def test_training_goes_on_from_a_state_bit_for_bit(name: str) -> None:
    config = (
        NamedOptimizer(groups=[MATRICES, REST]) if name == "routed" else NamedOptimizer.of(name)
    )
    config = dataclasses.replace(config, warmup_steps=6)
    whole = network()
    train(whole, build_named(config, whole, total_steps=None), 8)
    first = network()
    optimizer = build_named(config, first, total_steps=None)
    train(first, optimizer, 4)
    second = copy.deepcopy(first)
    again = build_named(config, second, total_steps=None)
    again.inherit_state(copy.deepcopy(optimizer.state_dict()))
    train(second, again, 4)
    assert equal(second, whole)


def test_a_successor_has_its_own_numbers_and_scaling_lasts() -> None:
    model = network()
    first = build_named(NamedOptimizer.of("AdamW", lr=1e-2), model, total_steps=None)
    first.scale_lr(0.5)
    train(model, first, 2)
    assert [group["lr"] for group in first.param_groups] == [5e-3]
    second = build_named(NamedOptimizer.of("AdamW", lr=1e-3), model, total_steps=None)
    second.inherit_state(first.state_dict())
    train(model, second, 1)
    assert [group["lr"] for group in second.param_groups] == [1e-3]


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (NamedOptimizer.of("Adam"), r"is of \['Adam'\], not of \['AdamW'\]"),
        (NamedOptimizer.of("AdamW", amsgrad=True), "saved with amsgrad=True.*than amsgrad=False"),
    ],
)
def test_a_state_of_another_optimizer_is_refused(saved: NamedOptimizer, message: str) -> None:
    model = network()
    state = build_named(saved, model, total_steps=None).state_dict()
    optimizer = build_named(NamedOptimizer.of("AdamW"), model, total_steps=None)
    with pytest.raises(ValueError, match=message):
        optimizer.inherit_state(state)
    with pytest.raises(ValueError, match="not saved by an optimizer of torch"):
        optimizer.inherit_state(torch.optim.AdamW(model.parameters()).state_dict())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NamedOptimizer.of("adamw"), "There is no optimizer 'adamw'.*torch.optim has: ASGD,.*SGD"),
        (NamedOptimizer.of("LBFGS"), "There is no optimizer 'LBFGS'"),
        (
            NamedOptimizer.of("AdamW", beta1=0.9),
            "AdamW does not take 'beta1'; it takes: lr, betas",
        ),
        (NamedOptimizer.of("SGD", lr=-1.0), r"SGD cannot train.*\(Invalid learning rate: -1.0\)"),
        (NamedOptimizer.of("Muon"), "Muon cannot train.*2D parameters.*by groups with `dims`"),
        (
            NamedOptimizer(groups=[MATRICES]),
            r"'0.bias' of shape \(8,\) is in no group: add a last",
        ),
        (
            NamedOptimizer(groups=[dataclasses.replace(REST, pattern="attn"), REST]),
            "pattern 'attn' and dims .* matches no parameter.*names are: 0.weight, 0.bias",
        ),
        (
            NamedOptimizer(groups=[REST, MATRICES]),
            "matches no parameter that an earlier group has left",
        ),
        (
            dataclasses.replace(NamedOptimizer.of("SGD"), cosine=True),
            r"decays along a cosine: say over how many steps by `NamedOptimizer\(...",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(config: NamedOptimizer, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_named(config, network(), total_steps=None)
    assert "\n" not in str(caught.value)


def test_a_tied_parameter_is_not_in_two_groups() -> None:
    model = nn.ModuleDict({"head": nn.Linear(4, 4, bias=False), "body": nn.Linear(4, 4)})
    model["body"].weight = model["head"].weight
    config = NamedOptimizer(groups=[dataclasses.replace(MATRICES, pattern="head"), REST])
    with pytest.raises(UsageError, match="'body.weight' is in two groups, numbers 1 and 2.*head"):
        build_named(config, model, total_steps=None)
    both = dataclasses.replace(MATRICES, pattern="head|body.weight")
    optimizer = build_named(NamedOptimizer(groups=[both, REST]), model, total_steps=None)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]


def test_names_are_checked_without_a_model() -> None:
    check_named(NamedOptimizer(groups=[MATRICES, REST]))
    with pytest.raises(UsageError, match="There is no optimizer 'Lion'"):
        check_named(NamedOptimizer.of("Lion"))

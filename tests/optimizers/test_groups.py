"""What a parameter group says is read or refused; when the schedule of a group starts."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from tests.optimizers.rules import Orthogonal
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import CAPTURABLE
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import set_gradients
from tests.optimizers.test_evolved import steps_taken


ADAMW = catalog["adamw"]
OWN = {"lr": 0.05, "betas": (0.5, 0.7), "weight_decay": 0.2, "eps": 1e-3}


def group_of(params: list[nn.Parameter], **settings: Any) -> list[dict[str, Any]]:
    return [{"params": params, **settings}]


@pytest.mark.parametrize("way", [{}, {"foreach": True}, {"foreach": False}, {"capturable": True}])
@pytest.mark.parametrize("as_list", [True, False])
def test_a_group_of_adamw_trains_as_it_does_there(way: dict[str, bool], as_list: bool) -> None:
    theirs, ours = parameters(), parameters()
    peer = torch.optim.AdamW(group_of(theirs, **OWN))
    group = {k: v for k, v in peer.param_groups[0].items() if k != "params"}
    if as_list:
        group["betas"] = list(group["betas"])
    run(peer, theirs, range(5))
    run(EvolvedOptimizer(group_of(ours, **group), ADAMW, **way), ours, range(5))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", [{}, {"capturable": True}])
def test_decays_may_be_said_one_by_one_and_at_any_time(way: dict[str, bool]) -> None:
    pair, single, later = parameters(), parameters(), parameters()
    optimizers = [
        EvolvedOptimizer(group_of(pair, betas=(0.5, 0.7)), EVERYTHING, **way),
        EvolvedOptimizer(group_of(single, beta1=0.5, beta2=0.7), EVERYTHING, **way),
        EvolvedOptimizer(later, EVERYTHING, **way),
    ]
    optimizers[2].param_groups[0] |= {"beta1": 0.5, "beta2": 0.7}
    expected = run(optimizers[0], pair, range(3))
    assert_equal(run(optimizers[1], single, range(3)), expected)
    assert_equal(run(optimizers[2], later, range(3)), expected)
    assert [o.param_groups[0]["betas"] for o in optimizers] == [(0.5, 0.7)] * 3
    assert not any("beta1" in o.param_groups[0] for o in optimizers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": (1.0, 0.0)}, "Invalid beta parameter at index 0: 1.0"),
        ({"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ({"betas": 0.9}, "`betas` must be a pair of numbers, got 0.9"),
        ({"betas": (0.9,)}, "`betas` must be a pair of numbers"),
        ({"betas": (0.9, 0.99), "beta1": 0.8}, "says `betas` twice"),
        ({"beta2": 1.0}, "Invalid beta parameter at index 1: 1.0"),
        ({"lr": -1.0}, "Invalid learning rate: -1"),
        ({"lr": float("nan")}, "Invalid learning rate: nan"),
        ({"lr": torch.tensor([0.1, 0.1])}, "Tensor lr must be 1-element"),
        ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ({"eps": -1}, "Invalid eps value: -1"),
        ({"momentum": 0.9}, "has `momentum`=0.9, which this optimizer does not do"),
        ({"nesterov": True}, "has `nesterov`=True"),
        ({"amsgrad": True}, "has `amsgrad`=True"),
        ({"decoupled_weight_decay": False, "weight_decay": 0.1}, "has `decoupled_weight_decay`"),
        ({"foreach": True}, "`foreach` is one for all groups"),
        ({"fused": True}, "`fused` is one for all groups"),
        ({"capturable": True}, "`capturable` is one for all groups"),
        ({"genome": catalog["sgd"]}, "another genome than the optimizer"),
        ({"genome": catalog["sgd"].to_dict()}, "another genome than the optimizer"),
    ],
)
def test_what_a_group_cannot_have_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvolvedOptimizer(group_of(parameters(), **settings), ADAMW)
    optimizer = EvolvedOptimizer(parameters(), ADAMW)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group(group_of(parameters((9,)), **settings)[0])
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    "settings", [{"betas": (0.9, 0.99)}, {"weight_decay": 0.1}, {"eps": 1e-8}, {"beta1": 0.9}]
)
def test_a_group_of_another_rule_has_no_settings_of_genomes(settings: dict[str, Any]) -> None:
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"has `{name}`, which the rule computes by itself"):
        EvolvedOptimizer(group_of(parameters(), **settings), Orthogonal())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("capturable", [True, False])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_settings_in_tensors_of_one_element_are_numbers(
    name: str, capturable: bool, shape: tuple[int, ...]
) -> None:
    def tensor(value: float) -> torch.Tensor:
        return torch.full(shape, value, dtype=torch.float64)

    expected, ours = parameters((3, 2), (4,)), parameters((3, 2), (4,))
    way = {"total_steps": 9, "capturable": capturable}
    run(EvolvedOptimizer(group_of(expected, **OWN), CAPTURABLE[name], **way), expected, range(4))
    own = {**OWN, "lr": tensor(0.05), "betas": (tensor(0.5), tensor(0.7))}
    run(EvolvedOptimizer(group_of(ours, **own), CAPTURABLE[name], **way), ours, range(4))
    torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("way", [{}, {"foreach": True}, {"foreach": False}, {"capturable": True}])
def test_a_parameter_that_stands_twice_steps_twice_as_with_adamw(way: dict[str, bool]) -> None:
    outcomes = []
    for build in (
        lambda ps: EvolvedOptimizer(ps, ADAMW, **way),
        lambda ps: torch.optim.AdamW(ps, lr=ADAMW.lr, foreach=False),
    ):
        a, b = parameters((3,), (4,))
        with pytest.warns(UserWarning, match="a parameter group with duplicate parameters"):
            optimizer = build([a, b, a])
        outcomes.append(run(optimizer, [a, b], range(4)))
        assert [int(optimizer.state[p]["step"]) for p in (a, b)] == [8, 4]
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-9, atol=1e-9)


def test_fused_may_be_said_together_with_no_foreach() -> None:
    outcomes = []
    for way in ({"fused": True}, {"fused": True, "foreach": False}):
        params = parameters()
        outcomes.append(run(EvolvedOptimizer(params, EVERYTHING, **way), params, range(3)))
    assert_equal(*outcomes)


SIGN = [("SIGN_GRAD", 1.0)]
WARM_UP = Genome(terms=SIGN, lr=1.0, use_warmup=True, warmup_steps=4)
COSINE = Genome(terms=SIGN, lr=1.0, use_cosine_decay=True)


def joined(genome: Genome, total_steps: int | None, **group: Any) -> list[float]:
    """Return the steps of a parameter that joins after two steps of another one."""
    first, second = parameters((), ())
    optimizer = EvolvedOptimizer([first], genome, total_steps=total_steps)
    steps_taken(optimizer, first, 2)
    optimizer.add_param_group({"params": [second], **group})
    return steps_taken(optimizer, second, 4)


def test_a_group_that_is_added_later_has_a_warm_up_of_its_own() -> None:
    assert joined(WARM_UP, None) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_the_cosine_of_a_group_that_is_added_later_ends_with_the_run() -> None:
    half, quarter = 0.5, 0.5 + 0.5 * 2**-0.5
    assert joined(COSINE, 6) == pytest.approx([1.0, quarter, half, 1 - quarter])
    assert joined(COSINE, 4) == pytest.approx([1.0, half, 0.0, 0.0])


def test_a_group_that_is_added_later_may_join_the_schedule_of_the_others() -> None:
    assert joined(WARM_UP, None, schedule_step=2) == pytest.approx([0.75, 1.0, 1.0, 1.0])
    whole = [0.5 + 0.5 * math.cos(math.pi * t / 6) for t in range(2, 6)]
    assert joined(COSINE, 6, schedule_step=2) == pytest.approx(whole)


def test_groups_given_at_once_have_one_schedule() -> None:
    groups = [{"params": [p]} for p in parameters((), ())]
    optimizer = EvolvedOptimizer(groups, COSINE, total_steps=6)
    assert [group["total_steps"] for group in optimizer.param_groups] == [6, 6]


def test_a_group_that_is_added_later_goes_on_from_a_saved_state() -> None:
    outcomes = []
    for saved in (True, False):
        a, b = parameters((3,), (4,))
        optimizer = EvolvedOptimizer([a], EVERYTHING, total_steps=12)
        run(optimizer, [a], range(3))
        optimizer.add_param_group({"params": [b], "lr": 0.03})
        run(optimizer, [a, b], range(3, 6))
        if saved:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = EvolvedOptimizer(
                [{"params": [a]}, {"params": [b]}], EVERYTHING, total_steps=12
            )
            optimizer.load_state_dict(state)
        set_gradients([a, b], 6)
        optimizer.step()
        outcomes.append([p.detach() for p in (a, b)])
    assert_equal(*outcomes)

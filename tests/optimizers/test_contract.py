"""The contract of `torch.optim.Optimizer`, for evolved rules and others that observe alike.

Its shape is that of torch's own database for its optimizers, `OptimizerInfo`, with its general
error inputs and behaviours; torch's module itself loads packages that torch does not bring.
"""

from collections import OrderedDict
from collections.abc import Callable
import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.learned import ControllerRule
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import UpdateRule
from tests.learned.test_contract import CONTROLLERS
from tests.learned.test_contract import trained
from tests.optimizers.rules import Orthogonal
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved
from tests.optimizers.test_evolved import set_gradients


@dataclass(frozen=True)
class Info:
    """An optimizer, the ways it can go, and the settings that its groups have."""

    rule: Genome | UpdateRule
    ways: tuple[dict[str, bool], ...] = ({}, {"foreach": True}, {"foreach": False})
    settings: tuple[str, ...] = ("lr",)

    def build(self, params: Any, **keywords: Any) -> EvolvedOptimizer:
        has_matrix = isinstance(self.rule, Genome) and self.rule.rule.has_matrix
        if has_matrix and isinstance(params, list) and params and not isinstance(params[0], dict):
            params = [{"params": params, "role": "matrix"}]  # alone it would be the head
        return EvolvedOptimizer(params, self.rule, **{"total_steps": 30, **keywords})


def evolved(genome: Genome) -> Info:
    ways = ({}, {"foreach": True}, {"foreach": False}, {"fused": True}, {"capturable": True})
    return Info(genome, ways, ("lr", "betas", "weight_decay", "eps"))


def dense(genome: Genome) -> Info:
    ways = ({}, {"foreach": True}, {"foreach": False}, {"fused": True})
    return Info(genome, ways, ("lr", "betas", "weight_decay", "eps"))


INFOS = {
    **{name: evolved(catalog[name]) for name in ("sgd", "momentum", "rmsprop", "adamw", "lion")},
    "published_2025": evolved(catalog["published_2025"]),
    "everything": evolved(EVERYTHING),
    "nadamw": dense(catalog["nadamw"]),
    "muon": dense(catalog["muon"]),
    "soap": dense(catalog["soap"]),
    "modified": dense(
        dataclasses.replace(
            EVERYTHING, use_cautious=True, use_rms_norm=True, norm_bound=0.5, tail_average=0.9
        )
    ),
    "sign": evolved(Genome(terms=[("SIGN_GRAD", 1.0)])),
    "constant": Info(ConstantRule([catalog["adamw"].rule])),
    "trust ratio": Info(TrustRatio()),
    "orthogonal": Info(Orthogonal()),
    # of every kind one whose weights were moved a little: near its base, but no genome
    **{kind: Info(ControllerRule(trained(kind, 0.01))) for kind in CONTROLLERS},
}


CASES = [
    pytest.param(info, way, id="-".join([name, *way]))
    for name, info in INFOS.items()
    for way in info.ways
]
every_optimizer = pytest.mark.parametrize("info", INFOS.values(), ids=INFOS)
every_way = pytest.mark.parametrize(("info", "way"), CASES)


@dataclass(frozen=True)
class ErrorInput:
    params: Callable[[], Any]
    error: type[Exception]
    message: str


ERROR_INPUTS = {
    "a tensor alone": ErrorInput(
        lambda: parameters((1, 1))[0], TypeError, "should be an iterable of Tensors or dicts"
    ),
    "twice in a group": ErrorInput(
        lambda: parameters((1, 1)) * 2, UserWarning, "a parameter group with duplicate parameters"
    ),
    "in two groups": ErrorInput(
        lambda: [{"params": p} for p in parameters((1, 1)) * 2],
        ValueError,
        "some parameters appear in more than one parameter group",
    ),
    "a rate of two elements": ErrorInput(
        lambda: [{"params": parameters(), "lr": torch.tensor([0.001, 0.001])}],
        ValueError,
        "Tensor lr must be 1-element",
    ),
    "half of the names": ErrorInput(
        lambda: [("weight", parameters()[0]), parameters()[1]],
        ValueError,
        "Some param names are missing",
    ),
    "names in half of the groups": ErrorInput(
        lambda: [
            {"params": parameters()[:1], "lr": 1e-2},
            {"params": [("weight", parameters()[1])]},
        ],
        ValueError,
        "cannot add param group with names to the optimizer",
    ),
    "nothing": ErrorInput(lambda: [], ValueError, "empty parameter list"),
    "no tensors": ErrorInput(lambda: [1.0], TypeError, "can only optimize Tensors"),
    "a set": ErrorInput(lambda: [{"params": set(parameters())}], TypeError, "ordered collections"),
    "a result": ErrorInput(
        lambda: [parameters()[0] * 2], ValueError, "can't optimize a non-leaf Tensor"
    ),
}


@every_optimizer
@pytest.mark.parametrize("wrong", ERROR_INPUTS.values(), ids=ERROR_INPUTS)
def test_what_torch_refuses_is_refused_in_its_words(info: Info, wrong: ErrorInput) -> None:
    if issubclass(wrong.error, Warning):
        with pytest.warns(wrong.error, match=wrong.message):
            info.build(wrong.params())
        return
    with pytest.raises(wrong.error, match=wrong.message):
        info.build(wrong.params())


@every_way
def test_it_descends(info: Info, way: dict[str, bool]) -> None:
    torch.manual_seed(0)
    w, b = nn.Parameter(torch.randn(10, 5).double()), nn.Parameter(torch.randn(10).double())
    x = torch.randn(5).double()
    optimizer = info.build([w, b], **way)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (w.mv(x) + b).pow(2).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).detach() for _ in range(20)]
    assert min(losses) < losses[0]


@every_way
def test_every_way_is_the_readable_one(info: Info, way: dict[str, bool]) -> None:
    params, twins = parameters((4, 3), (5,), ()), parameters((4, 3), (5,), ())
    ours = run(info.build(params, **way), params, range(6))
    plain = run(info.build(twins, foreach=False), twins, range(6))
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


@every_way
def test_without_gradients_a_step_does_nothing(info: Info, way: dict[str, bool]) -> None:
    params = parameters((4, 3), (5,))
    before = [p.detach().clone() for p in params]
    optimizer = info.build(params, **way)
    optimizer.step()
    assert_equal([p.detach() for p in params], before)
    assert not optimizer.state


@every_way
@pytest.mark.parametrize("rate", [0.0, torch.tensor(0.0), torch.zeros(1, 1)])
def test_at_a_rate_of_zero_no_weight_moves(
    info: Info, way: dict[str, bool], rate: float | Tensor
) -> None:
    params = parameters((4, 3), (5,))
    before = [p.detach().clone() for p in params]
    optimizer = info.build([{"params": params, "lr": rate}], **way)
    assert_equal(run(optimizer, params, range(3)), before)


@every_way
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_saved_state_goes_on(info: Info, way: dict[str, bool], dtype: torch.dtype) -> None:
    shapes = ((5,), (4,))  # no matrices: their decomposition is not there in every type
    params = parameters(*shapes, dtype=dtype)
    uninterrupted = run(info.build(params, **way), params, range(6))
    params = parameters(*shapes, dtype=dtype)
    first, second = info.build(params, **way), info.build(params, **way)
    run(first, params, range(3))
    second.load_state_dict(saved(first.state_dict()))
    assert_equal(run(second, params, range(3, 6)), uninterrupted)


@every_way
def test_a_state_is_the_same_each_time(info: Info, way: dict[str, bool]) -> None:
    params = parameters((4, 3), (5,))
    optimizer = info.build(params, **way)
    run(optimizer, params, range(3))
    states = [copy.deepcopy(optimizer.state_dict()) for _ in range(2)]
    optimizer.load_state_dict(states[0])
    states.append(copy.deepcopy(optimizer.state_dict()))
    for state in states[1:]:
        torch.testing.assert_close(state["state"], states[0]["state"], rtol=0, atol=0)
        assert state["param_groups"] == states[0]["param_groups"]


@every_optimizer
def test_named_parameters_train_as_others_and_keep_their_names(info: Info) -> None:
    params, twins = parameters((4, 3), (5,)), parameters((4, 3), (5,))
    named = info.build([("w", params[0]), ("b", params[1])])
    assert_equal(run(named, params, range(3)), run(info.build(twins), twins, range(3)))
    state = saved(named.state_dict())
    assert state["param_groups"][0]["param_names"] == ["w", "b"]
    other = info.build([("weight", params[0]), ("bias", params[1])])
    other.load_state_dict(state)
    assert other.param_groups[0]["param_names"] == ["w", "b"]


@every_optimizer
def test_hooks_around_a_step_are_called_in_their_order(info: Info) -> None:
    calls: list[str] = []
    params = parameters((4, 3), (5,))
    optimizer = info.build(params)
    handles = [
        register_optimizer_step_pre_hook(lambda *_: calls.append("any before")),
        register_optimizer_step_post_hook(lambda *_: calls.append("any after")),
    ]
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    try:
        run(optimizer, params, range(1))
    finally:
        for handle in handles:
            handle.remove()
    assert calls == ["any before", "before", "after", "any after"]


@every_optimizer
@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_cleared(info: Info, set_to_none: bool) -> None:
    params = parameters((4, 3), (5,))
    optimizer = info.build(params)
    set_gradients(params, 0)
    optimizer.zero_grad(set_to_none=set_to_none)
    assert all(p.grad is None if set_to_none else not p.grad.any() for p in params)  # type: ignore[union-attr]


@every_optimizer
def test_groups_have_settings_of_their_own(info: Info) -> None:
    a, b = parameters((5,), (5,))
    own = {"lr": 0.3, "betas": (0.2, 0.4), "weight_decay": 0.7, "eps": 0.2}
    group = {name: own[name] for name in info.settings}
    together = info.build([{"params": [a]}, {"params": [b], **group}])
    twins = parameters((5,), (5,))
    alone = [info.build([twins[0]]), info.build([{"params": [twins[1]], **group}])]
    for step in range(3):
        for params, optimizers in (([a, b], [together]), (twins, alone)):
            set_gradients(params, step)
            for optimizer in optimizers:
                optimizer.step()
    assert_equal([a, b], twins)
    others = parameters((5,), (5,))
    assert not torch.equal(b, run(info.build(others), others, range(3))[1])


@every_optimizer
def test_it_shows_its_groups(info: Info) -> None:
    text = repr(info.build(parameters()))
    assert text.startswith("EvolvedOptimizer (") and "Parameter Group 0" in text and "lr: " in text


@every_optimizer
def test_it_steps_in_the_default_type_of_others(info: Info) -> None:
    params, twins = parameters((5,), dtype=torch.float32), parameters((5,), dtype=torch.float32)
    expected = run(info.build(params), params, range(3))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        ours = run(info.build(twins), twins, range(3))
    finally:
        torch.set_default_dtype(before)
    assert_equal(ours, expected)


@every_optimizer
def test_parameters_of_an_ordered_dictionary_or_a_generator_are_taken(info: Info) -> None:
    a, b = parameters((5,)), parameters((5,))
    first = info.build(OrderedDict(w=a[0]).values())
    second = info.build(p for p in b)
    assert_equal(run(first, a, range(2)), run(second, b, range(2)))

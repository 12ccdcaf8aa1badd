"""A step that raises is no step: nothing is counted, moved or allocated."""

from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule
from tests.optimizers.rules import Orthogonal
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import set_gradients


WAYS: list[dict[str, bool]] = [
    {},
    {"foreach": True},
    {"foreach": False},
    {"fused": True},
    {"capturable": True},
]
RULES: dict[str, Genome | UpdateRule] = {
    "adamw": catalog["adamw"],
    "everything": EVERYTHING,
    "trust ratio": TrustRatio(),
    "orthogonal": Orthogonal(),
}


def as_saved(optimizer: EvolvedOptimizer) -> Any:
    state = optimizer.state_dict()
    counts = [group["schedule_step"] for group in state["param_groups"]]
    copies = {
        (i, name): value.clone() if isinstance(value, Tensor) else value
        for i, own in state["state"].items()
        for name, value in own.items()
    }
    return [copies, counts]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RULES)
def test_training_goes_on_as_if_a_step_that_raised_had_not_been(
    name: str, way: dict[str, bool], groups: int
) -> None:
    if "capturable" in way and not isinstance(RULES[name], Genome):
        pytest.skip("for genomes only")
    outcomes = []
    for disturbed in (True, False):
        params = parameters((4, 3), (5,))
        last = nn.Parameter(torch.ones(4, 2, dtype=torch.float64))
        members = [[*params, last]] if groups == 1 else [params, [last]]
        optimizer = EvolvedOptimizer(
            [{"params": ps} for ps in members], RULES[name], total_steps=9, **way
        )
        for step in range(4):
            if disturbed:
                before = as_saved(optimizer)
                set_gradients(params, step)
                indices, values = torch.tensor([[1]]), torch.ones(1, 2, dtype=torch.float64)
                last.grad = torch.sparse_coo_tensor(indices, values, (4, 2), check_invariants=True)
                with pytest.raises(RuntimeError, match="dense real gradients only"):
                    optimizer.step()
                torch.testing.assert_close(as_saved(optimizer), before, rtol=0, atol=0)
                last.grad = None
            run(optimizer, [*params, last], range(step, step + 1))
        outcomes.append([p.detach() for p in (*params, last)])
    assert_equal(*outcomes)


def unsupported(kind: str) -> nn.Parameter:
    if kind == "meta":
        p = nn.Parameter(torch.ones(3, device="meta"))
    elif kind == "float16":  # the kernel for processors has none
        p = nn.Parameter(torch.ones(3, dtype=torch.float16))
    else:
        p = nn.Parameter(torch.ones(3))
        p.grad_dtype = torch.float64
        p.grad = torch.ones(3, dtype=torch.float64)
        return p
    p.grad = torch.ones_like(p)
    return p


@pytest.mark.parametrize("kind", ["meta", "float16", "gradient of another type"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", RULES)
def test_a_kernel_that_is_asked_for_and_lacks_a_later_type_steps_nothing(
    name: str, groups: int, kind: str
) -> None:
    params, odd = parameters((4, 3), (5,)), unsupported(kind)
    before = [p.detach().clone() for p in params]
    members = [[*params, odd]] if groups == 1 else [params, [odd]]
    optimizer = EvolvedOptimizer(
        [{"params": ps} for ps in members], RULES[name], fused=True, total_steps=9
    )
    set_gradients(params, 0)
    coefficients = str(optimizer.state_dict().get("coefficients"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="`fused=True` needs a kernel for"):
            optimizer.step()
    assert_equal([p.detach() for p in params], before)
    assert not optimizer.state
    assert all(group["schedule_step"] == 0 for group in optimizer.param_groups)
    assert str(optimizer.state_dict().get("coefficients")) == coefficients


@pytest.mark.parametrize("way", WAYS)
def test_an_average_that_does_not_fit_in_a_later_bucket_stops_the_first(
    way: dict[str, bool],
) -> None:
    first, second = parameters((3,))[0], nn.Parameter(torch.ones(4))
    optimizer = EvolvedOptimizer([first, second], EVERYTHING, **way)
    run(optimizer, [first, second], range(2))
    second.data, second.grad = torch.ones(9), None
    before = first.detach().clone()
    with pytest.raises(RuntimeError, match="another size than its gradient or average"):
        run(optimizer, [first, second], range(2, 3))
    assert torch.equal(first, before)
    assert {int(optimizer.state[p]["step"]) for p in (first, second)} == {2}
    assert optimizer.param_groups[0]["schedule_step"] == 2


def test_a_rule_that_raises_in_a_later_group_stops_the_first() -> None:
    class Failing(TrustRatio):
        def start(self, layout: Any, *rest: Any) -> Any:
            if len(layout) == 1:
                raise ArithmeticError("no such layout")
            return super().start(layout, *rest)

    a, b, c = parameters((3,), (3,), (4,))
    optimizer = EvolvedOptimizer([{"params": [a, b]}, {"params": [c]}], Failing())
    before = a.detach().clone()
    with pytest.raises(ArithmeticError):
        run(optimizer, [a, b, c], range(1))
    assert torch.equal(a, before) and optimizer.param_groups[0]["schedule_step"] == 0


def test_a_stack_counts_no_step_that_raised() -> None:
    stacks = [torch.ones(2, 12, dtype=torch.float64) for _ in range(2)]
    grads = torch.linspace(-1, 2, 24).double().view(2, 12)
    rule = ConstantRule([catalog["adamw"].rule, EVERYTHING.rule])
    optimizers = [StackOptimizer(rule, weights, total_steps=9) for weights in stacks]
    with pytest.raises(RuntimeError):
        optimizers[0].step(stacks[0], grads[:, :5].contiguous())
    for weights, optimizer in zip(stacks, optimizers, strict=True):
        optimizer.step(weights, grads)
    assert torch.equal(*stacks) and not torch.equal(stacks[0], torch.ones_like(stacks[0]))


def test_a_closure_that_raises_is_no_step() -> None:
    params = parameters()
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    set_gradients(params, 0)

    def closure() -> float:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        optimizer.step(closure)
    assert not optimizer.state and optimizer.param_groups[0]["schedule_step"] == 0

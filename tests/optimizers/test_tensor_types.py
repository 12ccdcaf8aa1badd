"""Parameters of every type of tensor: stepped, or refused in a line before any is stepped."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import distributed
from torch import nn
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo.optimizers import ConstantRule
from tests.optimizers.rules import Orthogonal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import GENOMES
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import set_gradients


WAYS: list[dict[str, bool]] = [{}, {"foreach": True}, {"foreach": False}]


@pytest.fixture(scope="module")
def mesh() -> Iterator[DeviceMesh]:
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def distributed_parameter(p: Tensor, mesh: DeviceMesh) -> nn.Parameter:
    placements = [distributed.tensor.Replicate()]
    return nn.Parameter(distributed.tensor.distribute_tensor(p.detach(), mesh, placements))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*(name for name in GENOMES if name != "soap"), "constant"])
def test_parameters_that_fsdp_shards_and_ignores_train_together(
    name: str, way: dict[str, bool], mesh: DeviceMesh
) -> None:
    from torch.distributed.fsdp import fully_shard

    rules = {**GENOMES, "constant": ConstantRule([EVERYTHING.rule])}
    outcomes = []
    for sharded in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).double()
        if sharded:
            fully_shard(model, mesh=mesh, ignored_params={*model[1].parameters()})
            assert {type(p) for p in model.parameters()} == {DTensor, nn.Parameter}
        optimizer = EvolvedOptimizer(model.parameters(), rules[name], total_steps=9, **way)
        inputs = torch.linspace(-1, 2, 20).double().view(5, 4)
        for _ in range(4):
            optimizer.zero_grad()
            (model(inputs) ** 2).mean().backward()
            optimizer.step()
        outcomes.append([whole(p) for p in model.parameters()])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-9, atol=1e-9)


def test_soap_refuses_a_matrix_that_is_sharded_and_steps_nothing(mesh: DeviceMesh) -> None:
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    fully_shard(model, mesh=mesh, ignored_params={*model[1].parameters()})
    optimizer = EvolvedOptimizer(model.parameters(), GENOMES["soap"])
    (model(torch.ones(5, 4)) ** 2).mean().backward()
    before = [whole(p).clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match=r"^SOAP needs whole matrices, got a DTensor: [^\n]*$"):
        optimizer.step()
    assert all(map(torch.equal, before, [whole(p) for p in model.parameters()]))


def whole(p: Tensor) -> Tensor:
    return (p.full_tensor() if isinstance(p, DTensor) else p).detach()


def test_distributed_tensors_of_two_meshes_train_together(mesh: DeviceMesh) -> None:
    other = init_device_mesh("cpu", (1, 1))
    plain = parameters((3, 2), (4,))
    params = [distributed_parameter(plain[0], mesh), nn.Parameter(plain[1].detach().clone())]
    second = distributed.tensor.distribute_tensor(
        plain[0].detach(), other, [distributed.tensor.Replicate()] * 2
    )
    params.append(nn.Parameter(second))
    optimizers = [EvolvedOptimizer(ps, EVERYTHING, foreach=True) for ps in (params, plain)]
    for step in range(3):
        set_gradients(plain, step)
        for p, like in zip(params, (plain[0], plain[1], plain[0]), strict=True):
            assert like.grad is not None
            p.grad = like.grad.clone()
            if isinstance(p, DTensor):
                p.grad = distributed.tensor.distribute_tensor(
                    like.grad, p.device_mesh, p.placements
                )
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close([whole(p) for p in params], [*plain, plain[0]])


class Counted(Tensor):
    """A subclass without multi-tensor operations, as wrappers of quantised weights are."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "foreach" in getattr(func, "__name__", ""):
            raise NotImplementedError(f"{func.__name__} of Counted")
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_subclass_without_multi_tensor_operations_is_stepped_as_by_adamw() -> None:
    outcomes = []
    for build in (
        lambda ps: EvolvedOptimizer(ps, catalog["adamw"]),
        lambda ps: torch.optim.AdamW(ps, lr=catalog["adamw"].lr),
    ):
        plain, other = parameters((3,), (3,))
        params = [plain, other.detach().as_subclass(Counted).requires_grad_()]
        optimizer = build(params)
        for step in range(3):
            set_gradients(params, step)  # type: ignore[arg-type]
            optimizer.step()
        assert type(params[1]) is Counted
        outcomes.append([p.detach().as_subclass(Tensor) for p in params])
    torch.testing.assert_close(outcomes[0], outcomes[1])


@pytest.mark.parametrize("name", GENOMES)
def test_parameters_without_memory_step_as_they_do_with_adamw(name: str) -> None:
    params = [nn.Parameter(torch.ones(3, 2, device=d)) for d in ("meta", "cpu")]
    optimizer = EvolvedOptimizer(params, GENOMES[name], total_steps=5)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert params[0].is_meta and not torch.equal(params[1], torch.ones(3, 2))


def test_a_rule_steps_parameters_without_memory() -> None:
    p = nn.Parameter(torch.ones(3, 2, device="meta"))
    p.grad = torch.ones_like(p)
    optimizer = EvolvedOptimizer([p], Orthogonal())
    optimizer.step()
    assert optimizer.state[p]["step"] == 1


def test_gradients_of_another_type_are_not_rounded_to_that_of_the_parameter() -> None:
    p, wide = nn.Parameter(torch.ones(3).bfloat16()), nn.Parameter(torch.ones(3))
    p.grad_dtype = torch.float32
    optimizers = [EvolvedOptimizer([q], catalog["adamw"]) for q in (p, wide)]
    for q, optimizer in zip((p, wide), optimizers, strict=True):
        q.grad = torch.tensor([1.001, -0.3333, 3e-5])
        optimizer.step()
    averages = [o.state[q]["exp_avg"] for q, o in zip((p, wide), optimizers, strict=True)]
    torch.testing.assert_close(*averages, rtol=0, atol=1e-9)


SPARSE = ("sparse", "sparse weights", "compressed weights")
REFUSED = (*SPARSE, "int64", "int8", "bool", "complex", "quantised")


def refused() -> dict[str, nn.Parameter]:
    sparse = nn.Parameter(torch.ones(4, 2))
    sparse.grad = torch.sparse_coo_tensor([[1]], [[1.0, 2.0]], (4, 2))
    plain = {
        "int64": torch.ones(3, dtype=torch.int64),
        "int8": torch.ones(3, dtype=torch.int8),
        "bool": torch.ones(3, dtype=torch.bool),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "complex": torch.ones(3, dtype=torch.complex64),
        "sparse weights": torch.eye(3).to_sparse(),
        "compressed weights": torch.eye(3).to_sparse_csr(),
    }
    params = {name: nn.Parameter(t, requires_grad=False) for name, t in plain.items()}
    for p in params.values():
        p.grad = p.detach().clone()
    return params | {"sparse": sparse}


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("way", [*WAYS, {"fused": True}])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stepped_is_refused_before_anything_is(
    name: str, way: dict[str, bool]
) -> None:
    (first,) = parameters((3,))
    set_gradients([first], 0)
    before = first.detach().clone()
    optimizer = EvolvedOptimizer([first, refused()[name]], EVERYTHING, **way)
    with pytest.raises(RuntimeError, match="supports dense real gradients only, got a gradient"):
        optimizer.step()
    assert torch.equal(first, before) and not optimizer.state
    assert optimizer.param_groups[0]["schedule_step"] == 0


def test_parameters_of_whole_numbers_without_gradients_are_left_alone() -> None:
    params = parameters((3,))
    frozen = nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False)
    optimizer = EvolvedOptimizer([*params, frozen], EVERYTHING)
    set_gradients(params, 0)
    optimizer.step()
    assert frozen not in optimizer.state and params[0] in optimizer.state

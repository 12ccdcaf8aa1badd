"""States: plain types, hooks of others, wrappers that gather them, keys of other versions."""

from collections.abc import Callable
from collections.abc import Iterator
import copy
import io
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.rules import UpdateRule
from tests.optimizers.rules import Orthogonal
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved


ASSET = Path(__file__).parents[1] / "assets/schema1_optimizer.pt"
DTYPES = [torch.bfloat16, torch.float32]
RULES: dict[str, Genome | UpdateRule] = {"everything": EVERYTHING, "trust ratio": TrustRatio()}


@pytest.fixture(scope="module")
def one_process() -> Iterator[None]:
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("keywords", [{}, {"foreach": True}, {"fused": True, "maximize": True}])
def test_what_zero_gathers_goes_on_in_an_optimizer_of_its_own(keywords: dict[str, bool]) -> None:
    params = parameters(dtype=torch.float32)
    plain = EvolvedOptimizer(params, EVERYTHING, total_steps=9, **keywords)
    uninterrupted = run(plain, params, range(8))
    params = parameters(dtype=torch.float32)
    build = {"genome": EVERYTHING, "total_steps": 9, **keywords}
    zero = ZeroRedundancyOptimizer(params, EvolvedOptimizer, **build)
    run(zero, params, range(4))
    zero.consolidate_state_dict(0)
    state = saved(zero.state_dict())  # by `weights_only`
    assert Genome.from_dict(state["param_groups"][0]["genome"]) == EVERYTHING
    alone = EvolvedOptimizer(params, EVERYTHING, total_steps=9, **keywords)
    alone.load_state_dict(copy.deepcopy(state))
    assert "foreach" not in alone.param_groups[0] and "fused" not in alone.param_groups[0]
    assert_equal(run(alone, params, range(4, 8)), uninterrupted)

    for p, start in zip(params, parameters(dtype=torch.float32), strict=True):
        p.data = start.data
    run(EvolvedOptimizer(params, EVERYTHING, total_steps=9, **keywords), params, range(4))
    zero.load_state_dict(state)
    assert_equal(run(zero, params, range(4, 8)), uninterrupted)


@pytest.mark.usefixtures("one_process")
def test_what_zero_gathers_of_a_rule_holds_plain_types() -> None:
    params = parameters()
    zero = ZeroRedundancyOptimizer(params, EvolvedOptimizer, genome=Orthogonal())
    run(zero, params, range(2))
    zero.consolidate_state_dict(0)
    state = saved(zero.state_dict())
    assert state["param_groups"][0]["rule"] == "orthogonal"
    with pytest.raises(ValueError, match="no `coefficients` of rule orthogonal.*own `state_dict"):
        EvolvedOptimizer(params, Orthogonal()).load_state_dict(state)


@pytest.mark.usefixtures("one_process")
def test_zero_goes_on_in_a_group_that_is_added_later() -> None:
    params, more = parameters((3,), (4,)), parameters((5,))
    zero = ZeroRedundancyOptimizer(params, EvolvedOptimizer, genome=EVERYTHING, total_steps=9)
    run(zero, params, range(2))
    zero.add_param_group({"params": more})
    run(zero, [*params, *more], range(2, 4))
    assert zero.optim.state[more[0]]["step"] == 2


def test_a_genome_of_numpy_numbers_is_saved_in_plain_types() -> None:
    numbers = {"lr": np.float64(0.01), "beta1": np.float64(0.5), "eps": np.float64(1e-3)}
    genome = Genome(terms=[("ADAM_TERM", np.float64(0.5))], **numbers)
    params = parameters()
    optimizer = EvolvedOptimizer(params, genome)
    run(optimizer, params, range(2))
    group = saved(optimizer.state_dict())["param_groups"][0]
    assert Genome.from_dict(group["genome"]).fingerprint() == genome.fingerprint()
    assert {type(group["lr"]), *map(type, group["betas"])} == {float}


def test_a_group_of_an_older_version_holds_the_genome_itself_and_loads() -> None:
    params = parameters()
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    state = optimizer.state_dict()
    state["param_groups"][0]["genome"] = EVERYTHING
    optimizer.load_state_dict(state)
    assert saved(optimizer.state_dict())["param_groups"][0]["genome"] == EVERYTHING.to_dict()


def trained(dtype: torch.dtype, rule: Genome | UpdateRule) -> EvolvedOptimizer:
    params = parameters(dtype=dtype)
    optimizer = EvolvedOptimizer(params, rule, total_steps=9)
    run(optimizer, params, range(3))
    return optimizer


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_averages_come_from_what_pre_hooks_make_of_a_state(
    name: str, dtype: torch.dtype, in_place: bool
) -> None:
    state = copy.deepcopy(trained(dtype, RULES[name]).state_dict())
    optimizer = EvolvedOptimizer(parameters(dtype=dtype), RULES[name], total_steps=9)

    def doubled(_: Any, loaded: dict[str, Any]) -> dict[str, Any] | None:
        own = {i: {**s, "exp_avg": 2 * s["exp_avg"]} for i, s in loaded["state"].items()}
        if in_place:
            loaded["state"] = own
            return None
        return {**loaded, "state": own}

    optimizer.register_load_state_dict_pre_hook(doubled)
    optimizer.load_state_dict(state)
    for i, p in enumerate(optimizer.param_groups[0]["params"]):
        kept = optimizer.state[p]["exp_avg"]
        assert kept.dtype == torch.float32
        assert torch.equal(kept, 2 * state["state"][i]["exp_avg"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pre_hook_may_renumber_and_drop_parameters(dtype: torch.dtype) -> None:
    state = copy.deepcopy(trained(dtype, EVERYTHING).state_dict())
    shapes = ((4,), (3, 2))  # of three parameters the first two, the other way round
    optimizer = EvolvedOptimizer(parameters(*shapes, dtype=dtype), EVERYTHING, total_steps=9)

    def rearranged(_: Any, loaded: dict[str, Any]) -> dict[str, Any]:
        (group,) = loaded["param_groups"]
        own = {"first": loaded["state"][1], "second": loaded["state"][0]}
        return {"state": own, "param_groups": [{**group, "params": ["first", "second"]}]}

    optimizer.register_load_state_dict_pre_hook(rearranged)
    optimizer.load_state_dict(state)
    params = optimizer.param_groups[0]["params"]
    for p, i in zip(params, (1, 0), strict=True):
        assert torch.equal(optimizer.state[p]["exp_avg_sq"], state["state"][i]["exp_avg_sq"])
    run(optimizer, params, range(1))


@pytest.mark.parametrize("name", RULES)
def test_whose_state_it_is_is_asked_after_the_pre_hooks(name: str) -> None:
    state = trained(torch.float32, RULES[name]).state_dict()
    key = "genome" if isinstance(RULES[name], Genome) else "rule"
    own = state["param_groups"][0][key]
    bare = {**state, "param_groups": [{**state["param_groups"][0]}]}
    del bare["param_groups"][0][key]
    optimizer = EvolvedOptimizer(parameters(dtype=torch.float32), RULES[name], total_steps=9)
    with pytest.raises(ValueError, match="The state"):
        optimizer.load_state_dict(bare)

    def given(_: Any, loaded: dict[str, Any]) -> None:
        loaded["param_groups"] = [{**g, key: own} for g in loaded["param_groups"]]

    handle = optimizer.register_load_state_dict_pre_hook(given)
    optimizer.load_state_dict(bare)
    handle.remove()
    with pytest.raises(ValueError, match="The state"):
        optimizer.load_state_dict(bare)


@pytest.mark.parametrize("dtype", DTYPES)
def test_post_hooks_see_and_change_what_was_loaded(dtype: torch.dtype) -> None:
    first = trained(dtype, EVERYTHING)
    optimizer = EvolvedOptimizer(parameters(dtype=dtype), EVERYTHING, total_steps=9)
    seen = []

    def after(loaded: torch.optim.Optimizer) -> None:
        for p in loaded.param_groups[0]["params"]:
            seen.append(loaded.state[p]["exp_avg"].clone())
            loaded.state[p]["exp_avg"].zero_()

    optimizer.register_load_state_dict_post_hook(after)
    optimizer.load_state_dict(copy.deepcopy(first.state_dict()))
    assert_equal(seen, [first.state[p]["exp_avg"] for p in first.param_groups[0]["params"]])
    params = optimizer.param_groups[0]["params"]
    assert not any(optimizer.state[p]["exp_avg"].any() for p in params)


@pytest.mark.parametrize("name", RULES)
def test_hooks_on_saving_see_and_change_the_whole_state(name: str) -> None:
    optimizer = trained(torch.float32, RULES[name])
    whole = set(optimizer.state_dict())
    calls: list[Any] = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("before"))

    def after(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        calls.append(set(state))
        return {**state, "note": 1}

    optimizer.register_state_dict_post_hook(after)
    assert set(optimizer.state_dict()) == whole | {"note"}
    assert calls == ["before", whole]


def test_averages_of_another_genome_are_looked_for_after_the_pre_hooks() -> None:
    state = copy.deepcopy(trained(torch.bfloat16, EVERYTHING).state_dict())
    for own in state["state"].values():
        own["m"] = own.pop("exp_avg")
    optimizer = EvolvedOptimizer(parameters(dtype=torch.bfloat16), EVERYTHING, total_steps=9)
    with pytest.raises(ValueError, match="holds no `exp_avg`"):
        optimizer.inherit_state(state)

    def renamed(_: Any, loaded: dict[str, Any]) -> None:
        own = {i: {**s, "exp_avg": s["m"]} for i, s in loaded["state"].items()}
        loaded["state"] = own

    optimizer.register_load_state_dict_pre_hook(renamed)
    optimizer.inherit_state(state)
    for i, p in enumerate(optimizer.param_groups[0]["params"]):
        assert torch.equal(optimizer.state[p]["exp_avg"], state["state"][i]["m"])


def test_a_state_of_the_first_schema_has_the_settings_of_today() -> None:
    released = torch.load(ASSET, weights_only=True)
    old = released["state"]["param_groups"][0]
    assert "beta1" in old and "betas" not in old
    params = [nn.Parameter(weights) for weights in released["weights"]]
    optimizer = EvolvedOptimizer(params, catalog["published_2025"], total_steps=9)
    before = set(optimizer.param_groups[0])
    optimizer.load_state_dict(released["state"])
    assert set(optimizer.param_groups[0]) == before
    assert optimizer.param_groups[0]["betas"] == (old["beta1"], old["beta2"])


@pytest.mark.parametrize("key", ["lr", "betas", "eps", "weight_decay", "maximize", "total_steps"])
def test_a_setting_that_a_saved_group_does_not_know_has_its_default(key: str) -> None:
    first = trained(torch.float32, EVERYTHING)
    state = first.state_dict()
    optimizer = EvolvedOptimizer(parameters(dtype=torch.float32), EVERYTHING, total_steps=9)
    groups = [{k: v for k, v in g.items() if k != key} for g in state["param_groups"]]
    optimizer.load_state_dict({**state, "param_groups": groups})
    assert optimizer.param_groups[0][key] == first.param_groups[0][key]
    run(optimizer, optimizer.param_groups[0]["params"], range(3, 5))


@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copy_has_the_groups_of_the_original(
    dtype: torch.dtype, copier: Callable[[Any], Any]
) -> None:
    first = trained(dtype, EVERYTHING)
    twin = copier(first)
    settings = [
        {k: v for k, v in o.param_groups[0].items() if k != "params"} for o in (first, twin)
    ]
    assert settings[0] == settings[1]
    buffers = [io.BytesIO(), io.BytesIO()]
    for optimizer, buffer in zip((first, twin), buffers, strict=True):
        torch.save(optimizer.state_dict(), buffer)
    assert len(buffers[0].getvalue()) == len(buffers[1].getvalue())


def test_a_pickle_from_before_groups_had_betas_goes_on() -> None:
    first = trained(torch.float32, EVERYTHING)
    old = copy.deepcopy(first.__getstate__())
    for settings in (old["defaults"], *old["param_groups"]):
        settings["beta1"], settings["beta2"] = settings.pop("betas")
    second = EvolvedOptimizer.__new__(EvolvedOptimizer)
    second.__setstate__(old)
    second.add_param_group({"params": parameters((9,), dtype=torch.float32)})
    assert [group["betas"] for group in second.param_groups] == [(0.9, 0.95)] * 2
    ours, theirs = (o.param_groups[0]["params"] for o in (second, first))
    assert_equal(run(second, ours, range(3, 5)), run(first, theirs, range(3, 5)))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("sharded", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_a_distributed_checkpoint_goes_on(sharded: bool, whole: bool) -> None:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict
    from torch.distributed.checkpoint.state_dict import StateDictOptions
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    def built() -> tuple[nn.Module, EvolvedOptimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        if sharded:
            mesh = init_device_mesh("cpu", (1,))
            fully_shard(model, mesh=mesh, ignored_params={*model[1].parameters()})
        return model, EvolvedOptimizer(model.parameters(), EVERYTHING, total_steps=9)

    def train(model: nn.Module, optimizer: EvolvedOptimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            (model(torch.ones(5, 4)) ** 2).sum().backward()
            optimizer.step()

    options = StateDictOptions(full_state_dict=whole)
    first, second = built(), built()
    train(*first)
    weights = copy.deepcopy(first[0].state_dict())
    state = copy.deepcopy(get_optimizer_state_dict(*first, options=options))
    second[0].load_state_dict(weights)
    set_optimizer_state_dict(*second, state, options=options)
    assert second[1].param_groups[0]["betas"] == first[1].param_groups[0]["betas"]
    for pair in (first, second):
        train(*pair)
    for p, q in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(p.detach(), q.detach())

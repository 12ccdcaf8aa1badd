"""Updates of whole tensors: every path and the stack agree, states go on, weights are averaged."""

from collections.abc import Callable
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo import HypergradientRule
from optuna_evo.learned import MLPController
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import functional_update
from optuna_evo.optimizers import StackOptimizer
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import saved


SHAPES = ((8, 5), (8,), (6, 2, 3, 3), (), (4, 8))
N_STEPS = 24  # two turns of a basis
GENOMES = {
    "muon": catalog["muon"],
    "soap": catalog["soap"],
    "nadamw": catalog["nadamw"],
    "cautious": dataclasses.replace(
        catalog["cautious_adamw"], use_gradient_clipping=True, clip_value=0.5
    ),
    "adamw": dataclasses.replace(catalog["adamw"], lr=0.01),
    "modified": Genome(
        terms=[("LION", 1.0), ("NADAM", 0.3)],
        lr=3e-3,
        use_rms_norm=True,
        norm_bound=1.0,
        decay="wsd",
        warmup_share=0.1,
    ),
    "both": Genome(terms=[("ORTHOGONAL", 1.0), ("SOAP", 0.5)], lr=1e-2, norm_bound=0.1),
    "both again": Genome(terms=[("ORTHOGONAL", 2.0), ("SOAP", 0.7)], lr=1e-3, norm_bound=0.3),
    "without m": Genome(terms=[("ORTHOGONAL", 1.0), ("SOAP", 0.5)], lr=1e-2, use_m=False),
}
WAYS: list[dict[str, bool]] = [{}, {"foreach": True}, {"foreach": False}, {"fused": True}]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.05}


def trained(genome: Genome, dtype: torch.dtype = torch.float64, **way: bool) -> Tensor:
    """Return all weights in one vector."""
    params = [nn.Parameter(p.detach().to(dtype)) for p in parameters(*SHAPES)]
    optimizer = EvolvedOptimizer(params, genome, total_steps=N_STEPS, **way)
    run(optimizer, params, range(N_STEPS))
    return flat(params).detach()


def flat(tensors: list[Any]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])


def gradients(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(1 + step)
    return flat([torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["muon", "soap", "nadamw", "cautious", "modified", "without m"])
def test_every_path_does_the_same(name: str, dtype: torch.dtype) -> None:
    expected = trained(GENOMES[name], dtype, foreach=False)
    moved = (expected - flat(list(parameters(*SHAPES))).to(dtype)).norm()
    for way in WAYS:
        distance = (trained(GENOMES[name], dtype, **way) - expected).norm()
        assert distance <= TOLERANCE[dtype] * moved, way


def test_a_member_of_a_stack_trains_as_alone_and_goes_on_from_a_state() -> None:
    weights = flat(list(parameters(*SHAPES))).detach().repeat(len(GENOMES), 1)
    rules = [genome.rule for genome in GENOMES.values()]

    def start(members: list[int]) -> StackOptimizer:
        rule = ConstantRule([rules[i] for i in members])
        return StackOptimizer(rule, weights, total_steps=N_STEPS, layout=SHAPES)

    members = list(range(len(rules)))
    optimizer = start(members)
    for step in range(N_STEPS):
        if step == 5:  # the order of the rest is another one
            members = members[1:][::-1]
            optimizer.select([*range(1, len(rules))][::-1])
            weights = weights[1:].flip(0).clone()
        if step == 13:
            state = optimizer.state_dict()
            optimizer = start(members)
            optimizer.load_state_dict(state)
        optimizer.step(weights, gradients(step).expand_as(weights).clone())
    for row, member in enumerate(members):
        alone = trained([*GENOMES.values()][member])
        torch.testing.assert_close(weights[row], alone, rtol=1e-9, atol=1e-9)


def test_the_functional_path_takes_the_directions_of_a_stack() -> None:
    start = flat(list(parameters(*SHAPES))).detach().unsqueeze(0)
    genome = GENOMES["muon"]
    coefficients = ConstantRule([genome.rule]).start(SHAPES, 1, N_STEPS, torch.device("cpu"))
    ours = StackOptimizer(ConstantRule([genome.rule]), start, total_steps=N_STEPS, layout=SHAPES)
    weights, averages = start.clone(), {s: torch.zeros_like(start) for s in ("m", "v")}
    expected = start.clone()
    for step in range(4):
        g = gradients(step).unsqueeze(0)
        seen = ours.observe(expected, g)
        parts = coefficients.directions(step + 1, seen)  # type: ignore[attr-defined]
        weights, averages = functional_update(
            weights,
            g,
            averages,
            coefficients.numbers(step + 1, seen),
            sizes=[p.numel() for p in parameters(*SHAPES)],
            terms=["ADAM_TERM"],
            directions=torch.cat([part.reshape(1, -1) for part in parts], dim=1),
        )
        ours.step(expected, g)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["muon", "soap", "modified", "both"])
def test_training_goes_on_bit_for_bit_from_a_saved_state(name: str, dtype: torch.dtype) -> None:
    genome = dataclasses.replace(GENOMES[name], tail_average=0.6)

    def start() -> tuple[EvolvedOptimizer, list[nn.Parameter]]:
        params = [nn.Parameter(p.detach().to(dtype)) for p in parameters(*SHAPES)]
        return EvolvedOptimizer(params, genome, total_steps=20), params

    whole, params = start()
    run(whole, params, range(20))
    first, before = start()
    run(first, before, range(14))
    second, after = start()
    for p, other in zip(after, before, strict=True):
        p.data.copy_(other)
    second.load_state_dict(saved(first.state_dict()))
    run(second, after, range(14, 20))
    assert_equal([p.detach() for p in after], [p.detach() for p in params])
    with whole.averaged(), second.averaged():
        assert_equal([p.detach() for p in after], [p.detach() for p in params])


def test_weights_are_averaged_over_the_end_of_a_run_and_put_back() -> None:
    genome = dataclasses.replace(catalog["adamw"], tail_average=0.3)
    params = parameters(*SHAPES)
    optimizer, plain, seen = EvolvedOptimizer(params, genome, total_steps=10), [], []
    for step in range(10):
        run(optimizer, params, range(step, step + 1))
        seen.append(flat(params).detach().clone())
        with optimizer.averaged():
            plain.append(flat(params).detach().clone())
    assert_equal(plain[:7], seen[:7])
    for n in (1, 2, 3):
        torch.testing.assert_close(plain[6 + n], torch.stack(seen[7 : 7 + n]).mean(0))
    with pytest.raises(KeyError), optimizer.averaged():
        raise KeyError
    torch.testing.assert_close(flat(params).detach(), seen[-1], rtol=0, atol=0)


def test_an_average_is_not_taken_over_by_a_genome_without_one() -> None:
    genome = dataclasses.replace(catalog["adamw"], tail_average=0.5)
    params, others = parameters(*SHAPES), parameters(*SHAPES)
    first = EvolvedOptimizer(params, genome, total_steps=4)
    run(first, params, range(4))
    second = EvolvedOptimizer(others, catalog["adamw"], total_steps=8)
    second.inherit_state(first.state_dict())
    assert all("tail_average" not in state for state in second.state.values())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.0])
@pytest.mark.parametrize("name", ["muon", "soap", "modified", "both"])
def test_gradients_that_are_not_finite_or_all_zero_raise_nothing(name: str, value: float) -> None:
    params = parameters(*SHAPES)
    optimizer = EvolvedOptimizer(params, GENOMES[name], total_steps=N_STEPS)
    for _ in range(12):
        for p in params:
            p.grad = torch.full_like(p, value)
        optimizer.step()
    assert bool(flat(params).isfinite().all()) == (value == 0)


def test_an_empty_tensor_is_no_hidden_matrix() -> None:
    params = parameters((0, 3), (3, 0), (3, 3), (1, 4), (4, 1), (2, 2))
    for name in ("muon", "soap"):
        run(EvolvedOptimizer(params, catalog[name]), params, range(3))


def matrix_tensors(build: Callable[[nn.Module], Any], model: nn.Module) -> list[str]:
    """Return the names of the parameters that have no v: those that matrix terms move."""
    optimizer = EvolvedOptimizer(build(model), catalog["muon"])
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    return [n for n, p in model.named_parameters() if "exp_avg_sq" not in optimizer.state[p]]


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lm_head = nn.Linear(4, 9, bias=False)
        self.wte = nn.Embedding(9, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.conv = nn.Conv1d(4, 4, 3)


def test_roles_are_told_by_modules_names_and_order_and_a_group_may_say_otherwise() -> None:
    from optuna_evo.optimizers import roles_of

    model, inner = Language(), ["body.0.weight", "conv.weight"]
    listed = [n for n, p in model.named_parameters() if p.ndim > 1]
    assert matrix_tensors(lambda m: m.parameters(), model) == listed[:-1]
    assert matrix_tensors(lambda m: m.named_parameters(), model) == inner
    by_module = [{"params": model.parameters(), "role": roles_of(model)}]
    assert matrix_tensors(lambda _: by_module, model) == inner
    every = [{"params": list(model.parameters()), "role": "matrix"}]
    assert matrix_tensors(lambda _: every, model) == listed
    none = [{"params": list(model.parameters()), "role": "elementwise"}]
    assert matrix_tensors(lambda _: none, model) == []
    two = [
        {"params": [model.lm_head.weight], "role": "elementwise"},
        {"params": [*model.conv.parameters(), *model.body.parameters()]},
        {"params": [model.wte.weight], "role": "elementwise"},
    ]
    assert matrix_tensors(lambda _: two, model) == ["conv.weight"]


@pytest.mark.parametrize("role", ["head", ["matrix"], ["matrix", "x"], 3])
def test_a_role_that_there_is_not_is_refused(role: Any) -> None:
    group = {"params": parameters((2, 2), (2,)), "role": role}
    with pytest.raises(ValueError, match=r"`role` of a parameter group must be one of"):
        EvolvedOptimizer([group], catalog["muon"])


@pytest.mark.parametrize("name", ["muon", "soap", "nadamw", "cautious"])
def test_capturable_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=r"^`capturable` is for elementwise genomes: [^\n]*$"):
        EvolvedOptimizer(parameters(), GENOMES[name], capturable=True)


@pytest.mark.parametrize(
    "later", [{"decay": "linear"}, {"warmup_share": 0.1}, {"tail_average": 0.1}]
)
def test_shares_of_a_run_need_its_length(later: dict[str, Any]) -> None:
    genome = dataclasses.replace(catalog["adamw"], **later)
    with pytest.raises(ValueError, match="say over how many steps by"):
        EvolvedOptimizer(parameters(), genome)


def test_a_hypergradient_adapts_the_rate_of_a_matrix_term() -> None:
    params = parameters(*SHAPES)
    rule = HypergradientRule(GENOMES["both"])
    run(EvolvedOptimizer(params, rule, total_steps=N_STEPS), params, range(5))
    assert flat(params).isfinite().all()


@pytest.mark.parametrize("name", ["muon", "nadamw", "cautious"])
def test_a_controller_with_such_a_base_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=r"^The base genome of a controller must be [^\n]*$"):
        MLPController(genome=GENOMES[name])

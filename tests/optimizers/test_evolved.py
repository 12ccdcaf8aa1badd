"""What everybody may expect of a `torch.optim.Optimizer`, and what a genome adds."""

from collections.abc import Callable
import copy
from dataclasses import replace
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome


# Every direction at once, both averages, clipping, warm-up and cosine.
EVERYTHING = Genome(
    terms=[
        ("GRAD", 0.1),
        ("NESTEROV", 0.2),
        ("RMS_NORM", 0.3),
        ("ADAM_TERM", 0.5),
        ("SIGN_GRAD", -0.2),
        ("SQRT_GRAD", 0.4),
        ("SIGN_MOMENTUM", 0.1),
        ("LION", -0.1),
        ("AGREEMENT", 0.3),
    ],
    lr=1e-2,
    beta2=0.95,
    weight_decay=0.1,
    use_gradient_clipping=True,
    clip_value=0.5,
    use_warmup=True,
    warmup_steps=6,
    use_cosine_decay=True,
    horizon=20,
)
SIGN = Genome(terms=[("SIGN_GRAD", 1.0)])
GENOMES = {"everything": EVERYTHING, "sign": SIGN, **catalog}
LATER = ("nadamw", "cautious_adamw", "muon", "soap")
CAPTURABLE = {name: genome for name, genome in GENOMES.items() if name not in LATER}


def parameters(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = shapes or ((3, 2), (4,), ())
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def set_gradients(params: list[nn.Parameter], step: int, sign: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(1 + step)
    for p in params:
        p.grad = sign * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def run(
    optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: range, sign: float = 1.0
) -> list[Tensor]:
    for step in steps:
        set_gradients(params, step, sign)
        optimizer.step()
    return [p.detach().clone() for p in params]


def assert_equal(ours: list[Tensor], others: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


def saved(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("foreach", [True, False, None])  # None: the kernel, with a compiler
@pytest.mark.parametrize("name", ["everything", "sign", "momentum", "adamw"])
def test_a_run_goes_on_bit_for_bit_from_a_saved_state(name: str, foreach: bool | None) -> None:
    genome = GENOMES[name]
    params = parameters(dtype=torch.float32)
    uninterrupted = run(EvolvedOptimizer(params, genome, foreach=foreach), params, range(12))

    params = parameters(dtype=torch.float32)
    first = EvolvedOptimizer(params, genome, foreach=foreach)
    run(first, params, range(5))
    second = EvolvedOptimizer(params, genome, foreach=foreach)
    second.load_state_dict(saved(first.state_dict()))
    assert_equal(run(second, params, range(5, 12)), uninterrupted)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_like_the_original(copier: Callable[[Any], Any]) -> None:
    params = parameters()
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    run(optimizer, params, range(3))
    twin = copier(optimizer)
    twin_params = twin.param_groups[0]["params"]
    assert_equal(run(twin, twin_params, range(3, 6)), run(optimizer, params, range(3, 6)))


def test_a_state_of_another_genome_is_refused() -> None:
    state = EvolvedOptimizer(parameters(), catalog["adam"]).state_dict()
    with pytest.raises(ValueError, match="The state belongs to genome .*Genome.from_dict"):
        EvolvedOptimizer(parameters(), catalog["adamw"]).load_state_dict(state)


def test_a_state_of_another_optimizer_is_refused() -> None:
    state = torch.optim.AdamW(parameters()).state_dict()
    with pytest.raises(ValueError, match="not saved by an EvolvedOptimizer"):
        EvolvedOptimizer(parameters(), catalog["adamw"]).load_state_dict(state)


def test_the_genome_can_be_had_back_from_a_saved_state() -> None:
    state = saved(EvolvedOptimizer(parameters(), EVERYTHING).state_dict())
    assert Genome.from_dict(state["param_groups"][0]["genome"]) == EVERYTHING


def test_another_genome_of_the_same_averages_goes_on_with_its_own_numbers() -> None:
    params, twins = parameters(), parameters()
    first = EvolvedOptimizer(params, EVERYTHING)
    run(first, params, range(5))
    faster = replace(EVERYTHING, lr=0.03, beta1=0.8)
    second = EvolvedOptimizer(twins, faster)
    second.inherit_state(saved(first.state_dict()))
    assert second.param_groups[0]["lr"] == 0.03 and second.param_groups[0]["betas"][0] == 0.8
    assert second.param_groups[0]["schedule_step"] == 5
    for p, twin in zip(params, twins, strict=True):
        assert torch.equal(first.state[p]["exp_avg_sq"], second.state[twin]["exp_avg_sq"])
        assert second.state[twin]["step"] == 5


def test_a_genome_with_other_averages_cannot_go_on() -> None:
    params = parameters()
    first = EvolvedOptimizer(params, SIGN)
    run(first, params, range(1))
    with pytest.raises(ValueError, match="holds no `exp_avg`, which genome .* reads"):
        EvolvedOptimizer(params, EVERYTHING).inherit_state(first.state_dict())


def test_parameter_groups_have_their_own_learning_rate_and_weight_decay() -> None:
    (a, b), (c, d) = parameters((3,), (4,)), parameters((3,), (4,))
    groups = [{"params": [a]}, {"params": [b], "lr": 0.5, "weight_decay": 0.0}]
    together = EvolvedOptimizer(groups, catalog["adamw"])
    apart = Genome(terms=[("ADAM_TERM", 1.0)], lr=0.5)
    ones = [EvolvedOptimizer([c], catalog["adamw"]), EvolvedOptimizer([d], apart)]
    for step in range(5):
        set_gradients([a, b], step)
        set_gradients([c, d], step)
        for optimizer in (together, *ones):
            optimizer.step()
    assert_equal([a, b], [c, d])


def test_a_closure_is_called_once_with_gradients_on_and_its_loss_returned() -> None:
    (p,) = parameters((3,))
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        loss = (p**2).sum()
        loss.backward()
        return loss

    before = (p.detach() ** 2).sum()
    assert EvolvedOptimizer([p], catalog["sgd"]).step(closure) == before
    assert calls == [True]
    assert (p.detach() ** 2).sum() < before


def test_a_parameter_without_gradients_is_left_alone() -> None:
    params = parameters((3,), (4,))
    before = params[1].detach().clone()
    optimizer = EvolvedOptimizer(params, EVERYTHING)
    for step in range(3):
        set_gradients(params[:1], step)
        optimizer.step()
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state


def test_a_parameter_unused_in_some_steps_is_corrected_by_its_own_step_count() -> None:
    a, b = parameters((3,), (3,))
    alone = nn.Parameter(b.detach().clone())
    together = EvolvedOptimizer([a, b], catalog["adam"])
    single = EvolvedOptimizer([alone], catalog["adam"])
    for step in range(6):
        set_gradients([a, b], step)
        if step % 3 == 0:
            b.grad = None
        else:
            alone.grad = b.grad
            single.step()
        together.step()
    torch.testing.assert_close(b, alone, rtol=0, atol=1e-15)


def test_maximize_is_descent_along_negated_gradients() -> None:
    up, down = parameters(), parameters()
    ascent = run(EvolvedOptimizer(up, EVERYTHING, maximize=True), up, range(5))
    assert_equal(ascent, run(EvolvedOptimizer(down, EVERYTHING), down, range(5), sign=-1.0))


@pytest.mark.parametrize("name", GENOMES)
def test_foreach_equals_the_readable_loop(name: str) -> None:
    genome, shapes = GENOMES[name], ((3, 2), (0,), (), (2, 3, 2))
    fast, plain = parameters(*shapes), parameters(*shapes)
    ours = run(EvolvedOptimizer(fast, genome, total_steps=9), fast, range(9))
    loop = run(EvolvedOptimizer(plain, genome, total_steps=9, foreach=False), plain, range(9))
    torch.testing.assert_close(ours, loop, rtol=1e-12, atol=1e-12)


def test_foreach_steps_every_tensor_once_however_large_they_are() -> None:
    sizes = [1, 2**17, 2**17, 2, 2**18 + 1, 0, 3]
    params = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for p in params:
        p.grad = torch.ones_like(p)
    EvolvedOptimizer(params, SIGN, foreach=True).step()
    assert all((p == -SIGN.lr).all() for p in params)


def test_parameters_of_several_dtypes_and_layouts_train_together() -> None:
    half, single = parameters((4,), dtype=torch.bfloat16), parameters((4,), dtype=torch.float32)
    columns = nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last))
    params = [*half, columns, *single]
    run(EvolvedOptimizer(params, EVERYTHING), params, range(3))
    assert [p.dtype for p in params] == [torch.bfloat16, torch.float32, torch.float32]
    assert columns.is_contiguous(memory_format=torch.channels_last)
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("foreach", [True, False])
def test_gradients_are_never_written(maximize: bool, foreach: bool) -> None:
    params = parameters()
    optimizer = EvolvedOptimizer(params, EVERYTHING, maximize=maximize, foreach=foreach)
    set_gradients(params, 0)
    before = [p.grad.clone() for p in params if p.grad is not None]
    optimizer.step()
    assert_equal([p.grad for p in params if p.grad is not None], before)


@pytest.mark.parametrize(
    ("changes", "tensors"),
    [
        ({"terms": [("SIGN_GRAD", 1.0)]}, set()),
        ({"terms": [("GRAD", 1.0), ("SQRT_GRAD", 1.0)]}, set()),
        ({"terms": [("MOMENTUM", 1.0)]}, {"exp_avg"}),
        ({"terms": [("RMS_NORM", 1.0)]}, {"exp_avg_sq"}),
        ({"terms": [("ADAM_TERM", 1.0)]}, {"exp_avg", "exp_avg_sq"}),
        ({"terms": [("ADAM_TERM", 1.0)], "use_m": False}, {"exp_avg_sq"}),
        ({"terms": [("ADAM_TERM", 1.0)], "use_v": False}, {"exp_avg"}),
        ({"terms": [("ADAM_TERM", 1.0), ("ADAM_TERM", -1.0)], "weight_decay": 0.1}, set()),
    ],
)
def test_only_the_state_that_the_genome_reads_is_allocated(
    changes: dict[str, Any], tensors: set[str]
) -> None:
    params = parameters()
    optimizer = EvolvedOptimizer(params, Genome(**changes))
    run(optimizer, params, range(2))
    for p in params:
        assert {k for k, v in optimizer.state[p].items() if isinstance(v, Tensor)} == tensors


def test_a_sparse_gradient_is_refused() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="dense real gradients only"):
        EvolvedOptimizer(embedding.parameters(), catalog["sgd"]).step()


def test_a_complex_parameter_is_refused() -> None:
    params = parameters((2,), dtype=torch.complex64)
    set_gradients(params, 0)
    with pytest.raises(RuntimeError, match="dense real gradients only"):
        EvolvedOptimizer(params, catalog["sgd"]).step()


def cosine(horizon: int | None) -> Genome:
    return Genome(terms=[("SIGN_GRAD", 1.0)], lr=1.0, use_cosine_decay=True, horizon=horizon)


def steps_taken(optimizer: EvolvedOptimizer, p: nn.Parameter, n_steps: int) -> list[float]:
    """Return how far each step went along a constant gradient."""
    taken = []
    for _ in range(n_steps):
        before, p.grad = p.item(), torch.ones_like(p)
        optimizer.step()
        taken.append(before - p.item())
    return taken


@pytest.mark.parametrize(("horizon", "total_steps"), [(4, None), (100, 4), (None, 4)])
def test_cosine_ends_at_total_steps_or_else_at_the_horizon(
    horizon: int | None, total_steps: int | None
) -> None:
    (p,) = parameters(())
    optimizer = EvolvedOptimizer([p], cosine(horizon), total_steps=total_steps)
    expected = [0.5 + 0.5 * math.cos(math.pi * t / 4) for t in range(4)] + [0.0, 0.0]
    assert steps_taken(optimizer, p, 6) == pytest.approx(expected, abs=1e-12)


def test_warm_up_scales_from_the_horizon_to_the_length_of_the_run() -> None:
    (p,) = parameters(())
    terms = [("SIGN_GRAD", 1.0)]
    genome = Genome(terms=terms, lr=1.0, use_warmup=True, warmup_steps=100, horizon=500)
    optimizer = EvolvedOptimizer([p], genome, total_steps=20)
    assert steps_taken(optimizer, p, 5) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_cosine_over_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="say over how many steps.*total_steps=..."):
        EvolvedOptimizer(parameters(), cosine(None))


@pytest.mark.parametrize("total_steps", [0, -5])
def test_a_run_of_no_steps_is_refused(total_steps: int) -> None:
    with pytest.raises(ValueError, match=f"positive number of steps, got {total_steps}"):
        EvolvedOptimizer(parameters(), catalog["sgd"], total_steps=total_steps)

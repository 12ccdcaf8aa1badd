"""The compiled pass: equal to the readable loop, whatever the rule, layout, dtype or threads."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.optimizers import _native
from optuna_evo.optimizers._fused import fused_update
from tests.optimizers import published_loop
from tests.optimizers.steps import numbers_with
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import GENOMES
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run


SHAPES = ((5, 7), (33,), (), (0,), (2, 3, 3, 3))


def random_genome(number: int) -> Genome:
    return Genome.from_dict(published_loop.random_seed(np.random.default_rng(number)))


def trained(genome: Genome, n_steps: int, dtype: torch.dtype, **way: Any) -> list[Tensor]:
    params = parameters(*SHAPES, dtype=dtype)
    optimizer = EvolvedOptimizer(params, genome, total_steps=n_steps, **way)
    return run(optimizer, params, range(n_steps))


@pytest.mark.parametrize("name", GENOMES)
def test_a_named_genome_trains_as_in_the_readable_loop(name: str) -> None:
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        ours = trained(GENOMES[name], 25, dtype, fused=True)
        loop = trained(GENOMES[name], 25, dtype, foreach=False)
        torch.testing.assert_close(ours, loop, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_a_random_genome_trains_as_in_the_readable_loop(first: int) -> None:
    for number in range(first, first + 50):
        ours = trained(random_genome(number), 5, torch.float64, fused=True)
        loop = trained(random_genome(number), 5, torch.float64, foreach=False)
        torch.testing.assert_close(ours, loop, rtol=1e-13, atol=1e-13)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_and_the_cut_between_them_change_no_bit() -> None:
    outcomes = []
    for count in (1, 2, 3):
        params = parameters((40_001,), (7,), (30_011,), dtype=torch.float32)
        optimizer = EvolvedOptimizer(params, EVERYTHING, fused=True)
        with threads(count):
            outcomes.append(run(optimizer, params, range(3)))
    assert_equal(outcomes[0], outcomes[1])
    assert_equal(outcomes[0], outcomes[2])


def layouts() -> list[nn.Parameter]:
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    columns = torch.ones(6, 8)[:, ::2]
    return [
        nn.Parameter(images.to(memory_format=torch.channels_last)),
        nn.Parameter(torch.ones(3, 5).t()),
        nn.Parameter(columns),
        nn.Parameter(torch.ones(4)),
    ]


def test_any_memory_layout_of_parameters_gradients_and_averages_trains_alike() -> None:
    fused, loop = layouts(), layouts()
    optimizer = EvolvedOptimizer(fused, EVERYTHING, fused=True)
    run(optimizer, fused, range(2))
    fused[0].data = fused[0].data.contiguous()  # the averages stay in the layout they had
    ours = run(optimizer, fused, range(2, 4))
    expected = run(EvolvedOptimizer(loop, EVERYTHING, foreach=False), loop, range(4))
    torch.testing.assert_close(ours, expected)
    assert [p.stride() for p in fused[1:]] == [p.stride() for p in loop[1:]]


@pytest.mark.parametrize("way", [{"fused": True}, {"foreach": True}, {"foreach": False}])
def test_bfloat16_parameters_are_float32_inside(way: dict[str, bool]) -> None:
    params = parameters((64,), dtype=torch.bfloat16)
    twin = nn.Parameter(params[0].detach().float())
    optimizers = [EvolvedOptimizer(p, catalog["adamw"], **way) for p in (params, [twin])]
    for step in range(3):
        twin.data = params[0].detach().float()
        run(optimizers[0], params, range(step, step + 1))
        twin.grad = params[0].grad.float()  # type: ignore[union-attr]
        optimizers[1].step()
        assert torch.equal(params[0].detach(), twin.detach().bfloat16())
    assert optimizers[0].state[params[0]]["exp_avg_sq"].dtype == torch.float32


def test_bfloat16_rounds_as_torch_does() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    values[:4] = torch.tensor([3.4e38, 1e-40, 1 + 2**-8, 1 + 3 * 2**-8])
    w, g = torch.zeros(2, 1000, dtype=torch.bfloat16)
    values[4:6] = w[4:6] = torch.tensor([torch.nan, -torch.inf])
    momentum = values.where(values.isfinite(), 0.0)
    steps = {"grad": 1.0, "momentum": -1.0}
    numbers = numbers_with(steps, decay=1.0, m_share=0.0, clip=torch.inf)
    assert _native.is_available(torch.bfloat16)
    fused_update([w], [g], {"m": [momentum]}, numbers)
    expected = values.bfloat16()
    torch.testing.assert_close(w, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: torch.ones(9), "another size than its gradient or average"),
        (lambda p: p.data.double(), "average is torch.float32, its parameter asks for .*float64"),
    ],
)
def test_a_parameter_replaced_by_one_that_does_not_fit_is_refused(
    change: Callable[[Tensor], Tensor], message: str
) -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = EvolvedOptimizer([p], catalog["adamw"], fused=True)
    run(optimizer, [p], range(1))
    p.data, p.grad = change(p), None
    before = p.detach().clone()
    with pytest.raises(RuntimeError, match=message):
        run(optimizer, [p], range(1))
    assert torch.equal(p.detach(), before)


def test_autograd_sees_that_parameters_were_written() -> None:
    p = nn.Parameter(torch.ones(3))
    loss = (p * p).sum()
    p.grad = torch.ones(3)
    EvolvedOptimizer([p], catalog["sgd"], fused=True).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    caches = (_native._library, _native._say_once)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_trains_all_the_same_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        ours = [trained(EVERYTHING, 3, dtype) for dtype in (torch.float32, torch.float64)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "none of the C++ compilers" in caplog.text
    assert_equal(ours[0], trained(EVERYTHING, 3, torch.float32, foreach=True))


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_the_explicit_wish_for_one_is_refused() -> None:
    with pytest.raises(RuntimeError, match="`fused=True` needs a kernel for torch.float32 on cpu"):
        trained(EVERYTHING, 1, torch.float32, fused=True)


def test_fused_and_foreach_together_are_refused() -> None:
    with pytest.raises(ValueError, match="the other ways exclude it"):
        EvolvedOptimizer(parameters(), catalog["sgd"], fused=True, foreach=True)


@pytest.mark.slow
def test_fifty_genomes_are_served_by_one_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _native._library.cache_clear()
    builds = []
    compile_ = _native._compile
    monkeypatch.setattr(_native, "_compile", lambda *a, **k: (builds.append(a), compile_(*a, **k)))
    for number in range(50):
        trained(random_genome(number), 2, torch.float32, fused=True)
    assert len(builds) == 1
    assert len(list(tmp_path.rglob("*.so"))) == 1

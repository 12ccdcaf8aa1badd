"""The classics of the catalog do what their torch namesakes do."""

from collections.abc import Callable
import dataclasses
import functools
import math

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome


Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
NAMESAKES: dict[str, Build] = {
    "sgd": lambda params: torch.optim.SGD(params, lr=1e-2),
    "momentum": lambda params: torch.optim.SGD(params, lr=1e-2, momentum=0.9),
    "rmsprop": lambda params: torch.optim.RMSprop(params),
    "adam": lambda params: torch.optim.Adam(params),
    "adamw": lambda params: torch.optim.AdamW(params),
}


class PublishedLion(torch.optim.Optimizer):
    """Lion as its authors publish it (arXiv:2302.06675, `lion_pytorch.py`)."""

    def __init__(
        self,
        params: list[nn.Parameter],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
                if not self.state[p]:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                exp_avg = self.state[p]["exp_avg"]
                update = (exp_avg * beta1 + p.grad * (1 - beta1)).sign_()
                p.add_(update, alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def cnn(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 8, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.GELU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(64, 10)).to(dtype)


def train(
    build: Build,
    n_steps: int,
    dtype: torch.dtype = torch.float32,
    *,
    model: nn.Module | None = None,
    width: int = 100,
) -> tuple[Tensor, float]:
    """Return all weights in one vector, and the last loss; a model sees `width` of 100 inputs."""
    model, loss = model or cnn(dtype), torch.tensor(math.nan)
    optimizer = build(list(model.parameters()))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(128, 1, 10, 10, generator=generator, dtype=dtype)
    images = images if width == 100 else images.flatten(1)[:, :width]
    labels = torch.randint(10, (128,), generator=generator)
    for step in range(n_steps):
        batch = slice(32 * (step % 4), 32 * (step % 4) + 32)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), loss.item()


@pytest.mark.parametrize("name", NAMESAKES)
def test_a_classic_equals_its_torch_namesake_over_100_steps(name: str) -> None:
    expected, _ = train(NAMESAKES[name], 100)
    ours, _ = train(lambda p: EvolvedOptimizer(p, catalog[name], foreach=True), 100)
    assert (ours - expected).norm() <= 1e-6 * expected.norm()


# In float32 the first steps of RMSprop, 0.1 each, blow one rounding up to 5 % in 100 steps.
@pytest.mark.parametrize("way", [{"foreach": False}, {"fused": True}])
@pytest.mark.parametrize("name", NAMESAKES)
def test_a_classic_equals_its_torch_namesake_in_float64(name: str, way: dict[str, bool]) -> None:
    expected, _ = train(NAMESAKES[name], 100, torch.float64)
    ours, _ = train(lambda p: EvolvedOptimizer(p, catalog[name], **way), 100, torch.float64)
    assert (ours - expected).norm() <= 1e-8 * expected.norm()


@pytest.mark.parametrize("way", [{"foreach": False}, {"foreach": True}, {"fused": True}])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_lion_equals_the_published_optimizer(weight_decay: float, way: dict[str, bool]) -> None:
    genome = dataclasses.replace(catalog["lion"], weight_decay=weight_decay)
    published = functools.partial(PublishedLion, weight_decay=weight_decay)
    expected, _ = train(published, 100, torch.float64)
    ours, _ = train(lambda p: EvolvedOptimizer(p, genome, **way), 100, torch.float64)
    assert (ours - expected).norm() <= 1e-12 * expected.norm()


def test_lion_keeps_one_average_of_its_own() -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = EvolvedOptimizer([p], catalog["lion"])
    p.grad = torch.tensor([1.0, -2.0, 0.0])
    optimizer.step()
    assert optimizer.state[p].keys() == {"step", "exp_avg_slow"}
    torch.testing.assert_close(optimizer.state[p]["exp_avg_slow"], 0.01 * p.grad)


@pytest.mark.parametrize("name", sorted(catalog))
def test_every_genome_of_the_catalog_trains_finitely(name: str) -> None:
    start, _ = train(NAMESAKES["sgd"], 0)
    weights, loss = train(lambda p: EvolvedOptimizer(p, catalog[name], total_steps=10), 10)
    assert math.isfinite(loss)
    assert weights.isfinite().all()
    assert not torch.equal(weights, start)


def test_the_published_winner_has_the_published_values() -> None:
    published = {
        "term_types": [4, 4, 3, 3],
        "alphas": [
            0.41205802174892475,
            0.32238621456272765,
            2.0030004279455267,
            1.6322011630060542,
        ],
        "lr_log10": -2.9198932483267144,
        "beta1": 0.8553020861538518,
        "beta2": 0.9357561078635277,
        "eps_log10": -8.26423960220415,
        "wd_log10": -3.0112238437153316,
        "use_bias_correction": False,
        "use_warmup": True,
        "warmup_steps": 100,
        "use_cosine_decay": True,
        "horizon": 500,
    }
    winner = catalog["published_2025"]
    assert winner.fingerprint() == Genome.from_dict(published).fingerprint()
    assert winner.terms == Genome.from_dict(published).terms


def test_the_catalog_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalog["mine"] = catalog["sgd"]  # type: ignore[index]


def test_every_genome_of_the_catalog_is_another_update() -> None:
    assert len({genome.fingerprint() for genome in catalog.values()}) == len(catalog)

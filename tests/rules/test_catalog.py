"""The classics of the catalog do what their torch namesakes do."""

from collections.abc import Callable
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


def cnn(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 8, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.GELU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(64, 10)).to(dtype)


def train(build: Build, n_steps: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, float]:
    """Return all weights in one vector, and the last loss."""
    model, loss = cnn(dtype), torch.tensor(math.nan)
    optimizer = build(list(model.parameters()))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(128, 1, 10, 10, generator=generator, dtype=dtype)
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

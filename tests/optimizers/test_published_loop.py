"""The optimizer against the published notebook's loop, and fingerprints against what they claim.

The loop uses every scalar and flag as it stands, so it also judges the canonical form.
"""

from collections.abc import Iterator
import dataclasses
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo import suggest_genome
from optuna_evo import TermType
from tests.optimizers import published_loop
from tests.optimizers.published_loop import Array


N_STEPS = 20
CHANGES: list[dict[str, Any]] = [
    {"lr": 1.5},
    {"beta1": 0.7},
    {"beta2": 0.7},
    {"eps": 2.0},
    {"weight_decay": 3.0},
    {"clip_value": 1.5},
    {"warmup_steps": 2},
    {"nesterov_beta": 0.3},
]
FLAGS = [name for name in Genome(terms=[]).to_dict() if name.startswith("use_")]
# later ones are held to their publications: tests/rules/test_catalog_matrix.py
WRITTEN_OUT = [term for term in TermType if term <= TermType.AGREEMENT]


def is_written_out(genome: Genome) -> bool:
    """Tell whether the loop knows all that the genome does."""
    known = genome.to_dict().keys() == Genome(terms=[]).to_dict().keys()
    return known and all(term.type in WRITTEN_OUT for term in genome.terms)


def evolved(genome: Genome, weights: Array, gradients: list[Array], **way: bool) -> Array:
    p = torch.tensor(weights, requires_grad=True)
    optimizer = EvolvedOptimizer([p], genome, total_steps=len(gradients), **way)
    for gradient in gradients:
        p.grad = torch.tensor(gradient)
        optimizer.step()
    return p.detach().numpy()


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("number", range(60))
def test_a_published_genome_trains_as_in_the_notebook(number: int, foreach: bool) -> None:
    rng = np.random.default_rng(number)
    seed = published_loop.random_seed(rng)
    weights, gradients = rng.normal(size=24), published_loop.wide_gradients(rng, N_STEPS)
    expected = published_loop.train(seed, weights, gradients, N_STEPS)
    ours = evolved(Genome.from_dict(seed), weights, gradients, foreach=foreach)
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", sorted(name for name in catalog if is_written_out(catalog[name])))
def test_a_catalog_genome_trains_as_the_plain_loop(name: str) -> None:
    rng = np.random.default_rng(0)
    genome = dataclasses.replace(catalog[name], horizon=None)
    weights, gradients = rng.normal(size=24), published_loop.wide_gradients(rng, N_STEPS)
    seed = published_loop.seed_format(genome)
    expected = published_loop.train(seed, weights, gradients, N_STEPS)
    ours = evolved(genome, weights, gradients, foreach=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("way", [{"foreach": True}, {"foreach": False}, {"fused": True}])
@pytest.mark.parametrize("beta2", [0.0, 0.6])
@pytest.mark.parametrize("beta1", [0.0, 0.6, 0.8])
@pytest.mark.parametrize("term", WRITTEN_OUT)
def test_every_term_trains_as_the_plain_loop_whatever_the_decays(
    term: TermType, beta1: float, beta2: float, way: dict[str, bool]
) -> None:
    rng = np.random.default_rng(0)
    genome = Genome(terms=[(term, 0.5)], lr=0.1, beta1=beta1, beta2=beta2, weight_decay=0.1)
    weights, gradients = rng.normal(size=24), published_loop.wide_gradients(rng, N_STEPS)
    seed = published_loop.seed_format(genome)
    expected = published_loop.train(seed, weights, gradients, N_STEPS)
    ours = evolved(genome, weights, gradients, **way)
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-11)


def variants(genome: Genome) -> Iterator[Genome]:
    """Yield the genome with one scalar or flag changed, one at a time."""
    for change in CHANGES:
        ((name, factor),) = change.items()
        value = getattr(genome, name)
        yield dataclasses.replace(genome, **{name: factor if value is None else value * factor})
    for flag in FLAGS:
        yield dataclasses.replace(genome, **{flag: not getattr(genome, flag)})
    yield dataclasses.replace(genome, terms=genome.terms[::-1])
    yield dataclasses.replace(genome, terms=[(kind, -alpha) for kind, alpha in genome.terms])


def random_genome(number: int) -> Genome:
    """Draw a genome whose every scalar, if it is read at all, shows within a few steps."""
    sampler = optuna.samplers.RandomSampler(seed=number)
    return suggest_genome(
        optuna.create_study(sampler=sampler).ask(),
        term_types=tuple(term.name for term in WRITTEN_OUT),
        lr=(1e-2, 1e-1),
        eps=(1e-5, 1e-3),
        beta1=(0.1, 0.9),
        beta2=(0.1, 0.9),
        weight_decay=(1e-3, 1e-2),
        warmup_steps=(3, 8),
    )


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_genomes_share_a_fingerprint_exactly_if_they_train_the_same(first: int) -> None:
    seen = {True: 0, False: 0}
    for number in range(first, first + 20):
        rng = np.random.default_rng(number)
        weights, gradients = rng.normal(size=24), published_loop.wide_gradients(rng, N_STEPS)

        def run(genome: Genome, start: Array = weights, g: list[Array] = gradients) -> Array:
            return published_loop.train(published_loop.seed_format(genome), start, g, N_STEPS)

        genome = random_genome(number)
        for variant in variants(genome):
            distance = np.abs(run(genome) - run(variant)).max()
            same = bool(genome.fingerprint() == variant.fingerprint())
            assert same == (distance < 1e-11), (genome, variant, distance)
            seen[same] += 1
    assert min(seen.values()) > 20

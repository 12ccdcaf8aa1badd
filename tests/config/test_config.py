"""Configurations say what optimizer; those with genomes are what they always were."""

from collections.abc import Callable
import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from optuna_evo import catalog
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import ParamGroup
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig


ADAMW = NamedOptimizer.of("AdamW", lr=1e-3, betas=[0.9, 0.95])
ROUTED = NamedOptimizer(
    groups=[
        ParamGroup(optimizer="Muon", options={"lr": 0.02}, pattern=r"weight$", dims=(2,)),
        ParamGroup(optimizer="AdamW"),
    ],
    warmup_steps=10,
    cosine=True,
    horizon=300,
)
CONFIGS = [
    TrainingConfig(genome=catalog["published_2025"], batch_size=32, model={"dropout": 0.5}),
    TrainingConfig(optimizer=ADAMW, epochs=2.5),
    SegmentConfig(optimizer=ROUTED, clip_norm=1.0, sparsity=0.25),
    SegmentConfig(genome=catalog["sgd"]),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.fingerprint())
def test_a_configuration_comes_back_from_json(config: TrainingConfig) -> None:
    again = type(config).from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and again.fingerprint() == config.fingerprint()


def test_fingerprints_of_genomes_are_those_of_old_databases() -> None:
    adamw = catalog["adamw"]
    assert TrainingConfig(genome=adamw).fingerprint() == adamw.fingerprint()
    config = TrainingConfig(genome=adamw, batch_size=64, model={"dropout": 0.3})
    assert config.fingerprint() == f"{adamw.fingerprint()}-08cbc8029b00"
    segment = SegmentConfig(genome=adamw, batch_size=3, clip_norm=0.5)
    assert segment.fingerprint() == f"{adamw.fingerprint()}-ec401c01cc3a-0.5-0.0"


def test_optimizers_that_train_unlike_have_unlike_fingerprints() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"cosine": False},
        {"warmup_steps": 0},
        {"horizon": None},
        {"groups": ROUTED.groups[1:]},
        {"groups": ROUTED.groups[::-1]},
    ]
    optimizers = [dataclasses.replace(ROUTED, **change) for change in changes]
    optimizers += [ADAMW, NamedOptimizer.of("AdamW", lr=1e-3), NamedOptimizer.of("NAdam", lr=1e-3)]
    assert len({optimizer.fingerprint() for optimizer in optimizers}) == len(optimizers)


def test_a_genome_takes_the_place_of_the_optimizer() -> None:
    config = TrainingConfig(optimizer=ADAMW, batch_size=8)
    swapped = dataclasses.replace(config, genome=catalog["sgd"])
    assert swapped.genome == swapped.optimizer == catalog["sgd"] and swapped.batch_size == 8
    assert dataclasses.replace(swapped, optimizer=ADAMW) == config


def test_a_cosine_is_one_word_for_every_optimizer() -> None:
    assert TrainingConfig(genome=catalog["sgd"]).with_cosine().genome.use_cosine_decay
    segment = SegmentConfig(optimizer=ADAMW, clip_norm=2.0).with_cosine()
    assert segment.optimizer == dataclasses.replace(ADAMW, cosine=True) and segment.clip_norm == 2


def test_a_named_optimizer_is_written_as_in_torch() -> None:
    assert ADAMW.equation() == "torch.optim.AdamW(lr=0.001, betas=[0.9, 0.95])"
    assert ROUTED.equation().splitlines() == [
        "torch.optim.Muon(lr=0.02)  # names with 'weight$', 2 dimensions",
        "torch.optim.AdamW()",
        "# warm-up over 10 steps, cosine decay",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainingConfig(), "must be a Genome, a NamedOptimizer.*got None"),
        (lambda: TrainingConfig(optimizer="AdamW"), "NamedOptimizer.*got 'AdamW'"),
        (lambda: CONFIGS[1].genome, "trains with torch.optim.AdamW.*no genome: search over"),
        (
            lambda: TrainingConfig.from_dict({"batch_size": 3}),
            r"one of \['controller', 'genome', 'grafted', 't",
        ),
        (lambda: NamedOptimizer(groups=[]), "`groups` must hold at least one"),
        (lambda: dataclasses.replace(ROUTED, horizon=0), "`horizon` must be at least 1"),
        (
            lambda: dataclasses.replace(ROUTED, warmup_steps=-1),
            "`warmup_steps` must be at least",
        ),
        (lambda: ParamGroup(optimizer="SGD", pattern="(*"), r"got '\(\*'.*backslash"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_configurations_need_no_torch() -> None:
    code = "import sys, optuna_evo.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

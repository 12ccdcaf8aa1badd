"""Segments: a training in pieces is the training in one, and checkpoints hold all of it."""

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.config import SegmentConfig
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import MemoryLimitError
from optuna_evo.objectives import SegmentObjective
from optuna_evo.objectives import train_segments
from optuna_evo.rules import catalog
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import read_checkpoint
from optuna_evo.trainers import write_checkpoint


CONFIG = SegmentConfig(genome=dataclasses.replace(catalog["adamw"], lr=3e-3), batch_size=24)


@pytest.fixture
def objective(tmp_path: Path) -> SegmentObjective:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    options: dict[str, Any] = {"text": "text.txt", "sequence_length": 8, "valid_tokens": 64}
    task = tasks.get("gpt2", **options)
    return SegmentObjective(task=task, seed=3, steps=4, data_dir=tmp_path)


def config(lr: float = 3e-3, **changes: Any) -> SegmentConfig:
    genome = dataclasses.replace(catalog["adamw"], lr=lr)
    return dataclasses.replace(CONFIG, genome=genome, **changes)


def saved(checkpoint: Checkpoint) -> io.BytesIO:
    file = io.BytesIO()
    write_checkpoint(checkpoint, file)
    file.seek(0)
    return file


def test_two_segments_over_a_checkpoint_are_one_of_twice_the_steps(
    objective: SegmentObjective,
) -> None:
    first = objective.start([CONFIG])
    first.advance()
    origin = read_checkpoint(saved(first.checkpoint(0)))
    second = objective.start([CONFIG], origins=[origin])
    whole = dataclasses.replace(objective, steps=8).start([CONFIG])
    assert second.advance() == whole.advance()
    assert second.checkpoint(0).position == 8 * 24
    for name, weight in whole.checkpoint(0).model.items():
        assert torch.equal(weight, second.checkpoint(0).model[name])


def test_training_through_segments_does_what_the_lineage_did(objective: SegmentObjective) -> None:
    configs = [config(3e-3), config(1e-3, batch_size=7, clip_norm=0.5), config(1e-4, sparsity=0.3)]
    run, values = objective.start(configs[:1]), []
    for nth in (1, 2, 3):
        values += run.advance()
        if nth < 3:
            origin = read_checkpoint(saved(run.checkpoint(0)))
            run = objective.start([configs[nth]], origins=[origin])
    again, state = train_segments(configs, objective)
    assert again == values
    assert state is not None and (state.step, state.position) == (12, 4 * (24 + 7 + 24))


def test_reports_in_between_change_nothing(objective: SegmentObjective) -> None:
    often = dataclasses.replace(objective, reports=2).start([CONFIG])
    often.advance()
    assert often.advance() == objective.start([CONFIG]).advance()


def test_the_record_says_what_happened(objective: SegmentObjective) -> None:
    run = objective.start([CONFIG])
    (value,) = run.advance()
    (record,) = run.records()
    assert record["perplexity"] == pytest.approx(math.exp(value), rel=1e-4)
    assert record["optimizer_steps"] == 4 and record["first_step"] == 0
    assert record["grad_norm"] > 0 and record["train_loss"] > 0 and record["seconds"] > 0
    assert record["weights"] == "fresh tiny GPT-2"


def test_clipping_bounds_the_step_of_plain_descent(objective: SegmentObjective) -> None:
    genome = dataclasses.replace(catalog["sgd"], lr=0.1)
    one_step = dataclasses.replace(objective, steps=1)
    moved = []
    for clip_norm in (None, 0.01):
        cohort = one_step.cohort([SegmentConfig(genome=genome, clip_norm=clip_norm)])
        (before,) = cohort.state_dicts()
        cohort.train(1)
        (after,) = cohort.state_dicts()
        named = {name for name in before if not name.endswith("lm_head.weight")}  # it is tied
        change = [after[name] - before[name] for name in named]
        moved.append(torch.cat([c.flatten() for c in change]).norm().item())
    assert moved[1] == pytest.approx(0.1 * 0.01, rel=1e-3) and moved[0] > 10 * moved[1]


def test_sparsity_holds_through_the_segment_and_spares_embeddings(
    objective: SegmentObjective,
) -> None:
    cohort = objective.cohort([config(sparsity=0.5)])
    cohort.train(4)
    (state,) = cohort.state_dicts()
    zeros = {name: (p == 0).float().mean().item() for name, p in state.items()}
    matrices = [zeros[n] for n in zeros if ".attn.c_" in n and n.endswith("weight")]
    assert matrices and all(share == pytest.approx(0.5, abs=1e-3) for share in matrices)
    assert zeros["gpt2.transformer.wte.weight"] < 0.01


def test_float16_goes_through_a_gradient_scaler_that_is_kept(objective: SegmentObjective) -> None:
    half = dataclasses.replace(objective, precision="float16")
    run = half.start([CONFIG])
    (value,) = run.advance()
    state = run.checkpoint(0)
    assert state.scaler["_growth_tracker"] == 4 and math.isfinite(value)
    again = half.start([CONFIG], origins=[read_checkpoint(saved(state))])
    again.advance()
    assert again.checkpoint(0).scaler["_growth_tracker"] == 8


def test_a_divergence_measures_nan(objective: SegmentObjective) -> None:
    assert math.isnan(objective.start([config(lr=1e6)]).advance()[0])


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_truncated_checkpoint_is_said_so(objective: SegmentObjective, kept: int) -> None:
    whole = saved(objective.cohort([CONFIG]).checkpoints()[0]).getvalue()
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_checkpoint(io.BytesIO(whole[:kept]))


def test_a_checkpoint_of_another_training_is_refused(objective: SegmentObjective) -> None:
    (origin,) = objective.cohort([CONFIG]).checkpoints()
    with pytest.raises(CheckpointError, match="with seed 3, not of 'gpt2' with seed 4"):
        dataclasses.replace(objective, seed=4).start([CONFIG], origins=[origin])
    averages = SegmentConfig(genome=catalog["sgd"])
    trained = objective.cohort([averages])
    trained.train(1)
    with pytest.raises(CheckpointError, match="does not fit the training: .*no `exp_avg`"):
        objective.cohort([CONFIG], trained.checkpoints())


@pytest.mark.parametrize("trainer", ["sequential", "population"])
def test_out_of_memory_comes_with_advice(objective: SegmentObjective, trainer: str) -> None:
    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    task = dataclasses.replace(objective.task, loss=exhausted)
    cohort = dataclasses.replace(objective, task=task, trainer=trainer).cohort([CONFIG])
    with pytest.raises(MemoryLimitError, match="batch size of 24: lower the batch size"):
        cohort.train(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsity": 1.0}, r"`sparsity` must be in \[0, 1\), got 1.0"),
        ({"clip_norm": 0.0}, "`clip_norm` must be positive or None, got 0.0"),
    ],
)
def test_a_config_out_of_range_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_configs_that_train_unlike_have_unlike_fingerprints() -> None:
    configs = [CONFIG, config(clip_norm=1.0), config(sparsity=0.1), config(batch_size=3)]
    assert len({c.fingerprint() for c in configs}) == 4

"""Optimizers of torch train in every objective, in the judge, and in a study with reuse."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from optuna_evo import catalog
from optuna_evo import tasks
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import ParamGroup
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.curves import ReduceOnPlateau
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import SpecError
from optuna_evo.evaluation import JudgeRow
from optuna_evo.evaluation import quick_judge
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import FitnessObjective
from optuna_evo.objectives import SegmentObjective
from optuna_evo.objectives import train_finally
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import read_checkpoint
from optuna_evo.trainers import write_checkpoint


MOONS = tasks.get("two_moons")
ADAMW = NamedOptimizer.of("AdamW", lr=1e-2)
MUON = NamedOptimizer(
    groups=[
        ParamGroup(optimizer="Muon", options={"lr": 0.02}, dims=(2,)),
        ParamGroup(optimizer="AdamW", options={"lr": 1e-2}),
    ],
    cosine=True,
    warmup_steps=5,
    horizon=40,
)
GENOME = dataclasses.replace(catalog["adamw"], lr=1e-2, weight_decay=1e-2)


def filed(checkpoint: Checkpoint) -> Checkpoint:
    file = io.BytesIO()
    write_checkpoint(checkpoint, file)
    file.seek(0)
    return read_checkpoint(file)


@pytest.mark.parametrize("reports", [None, 4])
def test_in_a_batch_with_genomes_each_is_worth_what_it_is_alone(reports: int | None) -> None:
    objective = FitnessObjective(tasks=[MOONS], seeds=range(2), steps=60, reports=reports)
    configs = [TrainingConfig(optimizer=each) for each in (GENOME, ADAMW, MUON, GENOME)]
    ends = []
    for batch in (configs, configs[1:2], configs[2:3]):
        run = objective.start(batch)
        values = [run.advance() for _ in range(objective.n_reports)]
        ends.append([objective.value(own) for own in zip(*values, strict=True)])
    assert [ends[0][1], ends[0][2]] == [ends[1][0], ends[2][0]]
    assert ends[0][0] == pytest.approx(ends[0][1], abs=1e-3)  # the same rule, torch's and ours
    assert min(ends[0]) > 0.7


def test_curves_reduce_its_learning_rate_and_the_final_training_decays_it() -> None:
    policy = ReduceOnPlateau(factor=0.1, patience=1)
    objective = CurveObjective(task=MOONS, seed=0, steps=80, reports=8, reduce_on_plateau=policy)
    frozen = TrainingConfig(optimizer=NamedOptimizer.of("SGD", lr=1e-12))
    run = objective.start([frozen, TrainingConfig(optimizer=MUON)])
    values = [run.advance() for _ in range(8)]
    assert run.records()[0]["lr_scale"] == 0.01 and values[-1][1] > 0.8
    config = TrainingConfig(optimizer=ADAMW)
    final = train_finally(config, objective, epochs=20, cosine=True, seed=0)
    assert final.metric > 0.85


@pytest.mark.parametrize("optimizer", [ADAMW, MUON], ids=["AdamW", "Muon"])
def test_two_segments_over_a_checkpoint_are_one_of_twice_the_steps(
    optimizer: NamedOptimizer,
) -> None:
    objective = SegmentObjective(task=MOONS, seed=3, steps=20)
    config = SegmentConfig(optimizer=optimizer, clip_norm=1.0, model={"dropout": 0.2})
    first = objective.start([config])
    first.advance()
    second = objective.start([config], origins=[filed(first.checkpoint(0))])
    whole = dataclasses.replace(objective, steps=40).start([config])
    assert second.advance() == whole.advance()
    for name, weight in whole.checkpoint(0).model.items():
        assert torch.equal(weight, second.checkpoint(0).model[name])


def test_a_checkpoint_of_another_kind_of_optimizer_is_refused() -> None:
    objective = SegmentObjective(task=MOONS, seed=3, steps=4)
    named, genome = (SegmentConfig(optimizer=each) for each in (ADAMW, GENOME))
    for config, other in ((named, genome), (genome, named)):
        cohort = objective.cohort([config])
        cohort.train(4)
        with pytest.raises(
            CheckpointError,
            match="does not fit the training: a.* cannot go on from the state of a",
        ):
            objective.cohort([other], cohort.checkpoints())


def test_the_judge_judges_it_and_its_row_comes_back() -> None:
    objective = FitnessObjective(tasks=[MOONS], seeds=range(1), steps=40)
    rows = quick_judge(MUON, objective, seeds=2, tuning_trials=2)
    assert (rows[0].name, rows[0].setting) == ("torch Muon + AdamW", "given")
    assert rows[0].overall.mean > 0.8
    again = [JudgeRow.from_dict(row.to_dict()) for row in rows]
    assert again == rows and again[0].optimizer == MUON
    assert "genome" in rows[1].to_dict()  # as judgements were always written


SPEC: dict[str, Any] = {
    "name": "named",
    "tasks": ["two_moons"],
    "n_trials": 4,
    "space": {"name": "training", "optimizer": "NAdam", "dropout": [0.0, 0.1]},
    "sampler": {"name": "random"},
    "trainer": {"steps": 20},
    "objective": {"name": "accuracy", "reports": 2},
}


def test_a_study_searches_over_its_numbers_and_trains_nothing_twice(tmp_path: Path) -> None:
    stored = create_study(StudySpec.from_dict(SPEC), optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu", n_more=3)
    first = stored.study.get_trials()[0]
    stored.study.enqueue_trial(first.params)
    run_study(stored, device="cpu")
    again = stored.study.get_trials()[-1]
    assert again.params == first.params and again.value == first.value
    assert "optuna_evo:reused_from" in again.user_attrs or "reused_from" in again.user_attrs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NAdamm", "There is no optimizer 'NAdamm' to train with; torch.optim has: ASGD"),
        ("Rprop", "torch.optim.Rprop does not take 'weight_decay'; it takes: lr, etas"),
        ("nadam", "`optimizer` must be one of .*or a class of torch.optim such as .*got 'nadam'"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_trains(name: str, message: str) -> None:
    spec = {**SPEC, "space": {**SPEC["space"], "optimizer": name}}
    with pytest.raises(SpecError, match=message):
        create_study(StudySpec.from_dict(spec), optuna.storages.InMemoryStorage())

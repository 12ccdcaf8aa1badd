"""Lineages: who goes on from whom, what is kept, and what happens when a checkpoint is lost."""

from collections.abc import Callable
import logging
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest
import torch

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import LOST_CHECKPOINT
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.errors import DiskFullError
from optuna_evo.errors import SpecError
from optuna_evo.samplers import segment_of
from optuna_evo.search import CheckpointStore
from optuna_evo.search import Lineage
from optuna_evo.search import parent_of
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import delete_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy
from optuna_evo.trainers._member import Member


OFF = dict.fromkeys(("beta1", "beta2", "warmup_steps", "dropout", "clip_norm", "sparsity"), ())
SPEC: dict[str, Any] = {
    "name": "moons",
    "tasks": ["two_moons"],
    "n_trials": 12,
    "space": {"name": "language_model", "lr": [1e-3, 0.1], **OFF},
    "sampler": {"name": "recurrence", "population_size": 3, "exploit_quantile": 0.34},
    "trainer": {"steps": 4},
    "objective": {"name": "segment", "reports": 1},
}

Make = Callable[..., StoredStudy]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    storage = optuna.storages.InMemoryStorage()

    def make(inherit: str = "parent", **changes: Any) -> StoredStudy:
        lineage = {"inherit": inherit, "checkpoints": str(tmp_path)}
        spec = StudySpec.from_dict({**SPEC, "lineage": lineage, **changes})
        return create_study(spec, storage, exist_ok=True)

    return make


def files(tmp_path: Path) -> dict[int, Path]:
    return {int(path.stem): path for path in tmp_path.glob("moons-*/*.pt")}


def complete(stored: StoredStudy) -> list[FrozenTrial]:
    return stored.study.get_trials(states=(TrialState.COMPLETE,))


def _loss(trial: FrozenTrial) -> float:
    return float(trial.user_attrs["train_loss"])


def steps(trial: FrozenTrial) -> tuple[int, int]:
    return trial.user_attrs["first_step"], trial.user_attrs["optimizer_steps"]


def test_segments_go_on_from_the_parents_that_the_sampler_names(
    make: Make, tmp_path: Path
) -> None:
    stored = make()
    run_study(stored)
    trials = complete(stored)
    for trial in trials:
        segment = segment_of(trial)
        assert segment is not None and parent_of(trial) == segment.parent
        assert steps(trial) == (4 * segment.index, 4)
    assert any((s := segment_of(t)) and s.exploited for t in trials)
    latest = {s.member: t.number for t in trials if (s := segment_of(t))}
    assert sorted(files(tmp_path)) == sorted(latest.values())


def test_one_model_is_trained_by_all_in_turn(make: Make, tmp_path: Path) -> None:
    stored = make("shared", n_trials=5)
    run_study(stored)
    assert [parent_of(trial) for trial in complete(stored)] == [None, 0, 1, 2, 3]
    assert [steps(trial)[0] for trial in complete(stored)] == [0, 4, 8, 12, 16]
    assert list(files(tmp_path)) == [4]


def test_without_inheritance_all_start_afresh_and_the_best_is_kept(
    make: Make, tmp_path: Path
) -> None:
    stored = make("none", n_trials=5, sampler={"name": "random"})
    run_study(stored)
    assert {parent_of(trial) for trial in complete(stored)} == {None}
    assert {steps(trial) for trial in complete(stored)} == {(0, 4)}
    assert list(files(tmp_path)) == [stored.study.best_trial.number]


def test_a_study_in_pieces_is_the_study_in_one(make: Make, tmp_path: Path) -> None:
    whole, pieces = make(), create_study(make().spec, optuna.storages.InMemoryStorage())
    run_study(whole)
    for n_more in (5, 2, 5):
        run_study(load_study("moons", pieces.study._storage), n_more=n_more)
    assert [t.params for t in complete(pieces)] == [t.params for t in complete(whole)]
    assert [_loss(t) for t in complete(pieces)] == [_loss(t) for t in complete(whole)]


def test_never_more_checkpoints_than_members_and_running_trials(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    save, clean_up = CheckpointStore.save, Lineage.clean_up

    def counted_save(*args: Any) -> None:
        save(*args)
        counts.append(len(files(tmp_path)))

    def counted_clean_up(lineage: Lineage) -> None:
        clean_up(lineage)
        counts.append(len(files(tmp_path)))

    monkeypatch.setattr(CheckpointStore, "save", counted_save)
    monkeypatch.setattr(Lineage, "clean_up", counted_clean_up)
    run_study(make())
    assert max(counts) == 4 and counts[-1] == 3


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PK\3\4 torn")])
def test_a_lost_checkpoint_is_replaced_by_the_nearest_relative(
    make: Make,
    tmp_path: Path,
    damage: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = make(sampler={"name": "recurrence", "population_size": 2, "exploit_quantile": 0.5})
    run_study(stored, n_more=5)
    for path in files(tmp_path).values():
        damage(path)
    with caplog.at_level(logging.WARNING):
        run_study(stored, n_more=2)
    for trial in complete(stored)[5:]:
        if parent_of(trial) is None:
            assert "Going on from fresh weights." in LOST_CHECKPOINT.read(trial.user_attrs)
    assert steps(complete(stored)[5]) == (0, 4)
    assert "Trial 5: The checkpoint" in caplog.text


def test_a_diverged_segment_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    space = {**SPEC["space"], "lr": [1e5, 1e6]}
    stored = make(space=space, n_trials=6)
    run_study(stored)
    assert all(DIVERGED.read(trial.user_attrs) for trial in complete(stored))
    assert all(steps(trial)[0] == 0 for trial in complete(stored))
    assert not files(tmp_path)


def test_a_segment_never_takes_the_result_of_another_one(make: Make) -> None:
    space = {**SPEC["space"], "lr": [0.01, 0.01], "weight_decay": [0.01, 0.01]}
    stored = make("shared", space=space, n_trials=4)
    run_study(stored)
    assert len({t.user_attrs["train_loss"] for t in complete(stored)}) == 4
    assert not any(REUSED_FROM.is_in(t.user_attrs) for t in complete(stored))


def test_a_trial_is_complete_only_with_its_checkpoint(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = make()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("optuna_evo.search._checkpoints.AtomicFileSystemStore.write", full)
    with pytest.raises(DiskFullError, match="No space left"):
        run_study(stored)
    states = [t.state for t in stored.study.get_trials()]
    assert states == [TrialState.FAIL, TrialState.WAITING]  # it is run again when there is space


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {"name": "tpe"}}, '"parent" goes with the sampler "recurrence"'),
        (
            {"sampler": {"name": "recurrence", "population_size": 1}},
            "`population_size` must be an integer of at least 2, got 1",
        ),
        ({"lineage": {"inherit": "mother"}}, "`lineage.inherit` must be one of parent, shared, n"),
        ({"lineage": {"inherit": "shared"}, "batch_size": 2}, "batch_size must be 1, got 2"),
        (
            {"objective": {"name": "accuracy"}},
            '`lineage.checkpoints` goes with objective.name = "s',
        ),
        (
            {"objective": {"name": "accuracy"}, "lineage": {}},
            'sets what only objective.name = "segment" trains',
        ),
        ({"direction": "minimize"}, 'goes with direction = "maximize"'),
    ],
)
def test_a_wrong_spec_is_one_line(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make(**changes)


def test_a_deleted_study_leaves_no_checkpoints(make: Make, tmp_path: Path) -> None:
    stored = make(n_trials=3)
    run_study(stored)
    assert len(files(tmp_path)) == 3
    delete_study("moons", stored.study._storage)
    assert not any(tmp_path.iterdir())


def test_out_of_memory_is_a_penalty_with_advice_and_the_study_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Member.train

    def too_big(member: Member, *batch: torch.Tensor) -> None:
        if member.batch_size > 64:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        train(member, *batch)

    monkeypatch.setattr(Member, "train", too_big)
    stored = make(space={**SPEC["space"], "batch_size": [32, 128]}, n_trials=5)
    run_study(stored)
    assert len(complete(stored)) == 5
    large = [t for t in complete(stored) if t.params["batch_size"] > 64]
    assert large and all("lower the batch size" in ERROR.read(t.user_attrs) for t in large)
    assert all(t.value == -1.0 and DIVERGED.is_in(t.user_attrs) for t in large)
    assert not [t for t in complete(stored) if ERROR.is_in(t.user_attrs) and t not in large]


@pytest.mark.parametrize(
    ("name", "inherit"), [("recurrence_published", "shared"), ("recurrence_plain", "none")]
)
def test_the_presets_of_the_sampler_have_names(make: Make, name: str, inherit: str) -> None:
    stored = make(inherit, n_trials=7, sampler={"name": name, "population_size": 3})
    run_study(stored)
    first_steps = [trial.user_attrs["first_step"] for trial in complete(stored)]
    assert first_steps == ([4 * k for k in range(7)] if inherit == "shared" else [0] * 7)

"""Cohorts that go on from checkpoints: alone or as a stack, over one file or two."""

from collections.abc import Sequence
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import CheckpointError
from optuna_evo.tasks import Task
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import read_checkpoint
from optuna_evo.trainers import write_checkpoint
from optuna_evo.trainers._population import PopulationCohort
from optuna_evo.trainers._sequential import SequentialCohort
from optuna_evo.trainers._side_by_side import SideBySideCohort
from tests.trainers.contract import same
from tests.trainers.test_population import in_precision


MOONS = tasks.get("two_moons")
DIGITS = tasks.get("digits")
KINDS = ("sequential", "population")
ASSET = Path(__file__).parents[1] / "assets" / "checkpoint1.pt"


def segment(name: str = "adamw", lr: float = 3e-3, **options: Any) -> SegmentConfig:
    return SegmentConfig(genome=dataclasses.replace(catalog[name], lr=lr), **options)


POPULATION = [
    segment(lr=1e-3 * 1.3**i, clip_norm=(None, 0.5)[i % 2], sparsity=(0.0, 0.3, 0.5, 0.0)[i % 4])
    for i in range(8)
]


def begin(
    configs: Sequence[TrainingConfig], kind: str, *, task: Task = MOONS, steps: int = 30,
    origins: Sequence[Checkpoint | None] | None = None, **options: Any,
) -> Cohort:  # fmt: skip
    return trainers.start(
        configs, task, seed=3, total_steps=steps, trainer=kind, origins=origins, segment=True,
        **options,
    )  # fmt: skip


def trained(configs: Sequence[TrainingConfig], kind: str, **options: Any) -> Cohort:
    cohort = begin(configs, kind, **options)
    cohort.train(options.get("steps", 30))
    return cohort


def filed(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return what is left of checkpoints in files."""
    found = []
    for checkpoint in checkpoints:
        file = io.BytesIO()
        write_checkpoint(checkpoint, file)
        file.seek(0)
        found.append(read_checkpoint(file))
    return found


def test_a_stacked_population_of_segments_agrees_with_a_sequential_one() -> None:
    """In float64, over three segments in which members exploit others and change their numbers."""
    # the task's own loss rounds to float32
    task = dataclasses.replace(in_precision(DIGITS, torch.float64), loss=cross_entropy)
    torch.set_default_dtype(torch.float64)
    try:
        ends = []
        for kind in KINDS:
            origins: Sequence[Checkpoint | None] | None = None
            configs = [dataclasses.replace(c, model={"dropout": 0.2}) for c in POPULATION]
            for _ in range(3):
                cohort = begin(configs, kind, task=task, steps=20, origins=origins)
                cohort.train(10)
                cohort.scale_lr([1.0, 0.5] * 4)
                cohort.train(10)
                found = filed(cohort.checkpoints())
                origins = [found[0], *found[:-1]]
                configs = [*configs[1:], segment(lr=2e-3, model={"dropout": 0.2})]
            ends.append(cohort)
    finally:
        torch.set_default_dtype(torch.float32)
    alone, stacked = ends
    assert isinstance(alone, SequentialCohort) and isinstance(stacked, PopulationCohort)
    assert stacked.losses() == pytest.approx(alone.losses(), abs=1e-9)
    assert stacked.grad_norms() == pytest.approx(alone.grad_norms(), abs=1e-9)
    for mine, reference in zip(stacked.checkpoints(), alone.checkpoints(), strict=True):
        assert (mine.step, mine.position) == (reference.step, reference.position) == (60, 60 * 64)
        torch.testing.assert_close(mine.model, reference.model, rtol=0, atol=1e-9)
        states = (mine.optimizer["state"], reference.optimizer["state"])
        torch.testing.assert_close(*states, rtol=0, atol=1e-9)
        assert mine.optimizer["param_groups"] == reference.optimizer["param_groups"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["published_2025", "momentum", "sgd"])
def test_two_segments_over_files_are_one_of_twice_the_steps(kind: str, name: str) -> None:
    configs = [segment(name, lr=lr, model={"dropout": 0.3}, clip_norm=1.0) for lr in (1e-3, 3e-3)]
    configs = [
        dataclasses.replace(c, genome=dataclasses.replace(c.genome, horizon=60)) for c in configs
    ]
    first = trained(configs, kind)
    second = trained(configs, kind, origins=filed(first.checkpoints()))
    whole = trained(configs, kind, steps=60)
    assert all(map(same, second.state_dicts(), whole.state_dicts()))
    assert second.evaluate() == whole.evaluate()


def test_what_one_kind_wrote_the_other_goes_on_from() -> None:
    ends = []
    for kinds in (KINDS, KINDS[::-1]):
        first = trained(POPULATION[:3], kinds[0])
        ends.append(trained(POPULATION[:3], kinds[1], origins=filed(first.checkpoints())))
    for one, other in zip(*(end.state_dicts() for end in ends), strict=True):
        torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_members_go_on_from_wherever_each_is(kind: str) -> None:
    config = segment()
    early, late = (trained([config], "sequential", steps=n).checkpoints()[0] for n in (10, 25))
    origins = [early, None, late, early, None]
    together = trained([config] * 5, kind, origins=origins)
    assert isinstance(together, SideBySideCohort if kind == "population" else SequentialCohort)
    assert [c.step for c in together.checkpoints()] == [40, 30, 55, 40, 30]
    for place, origin in enumerate(origins):
        (alone,) = trained([config], "sequential", origins=[origin]).state_dicts()
        torch.testing.assert_close(
            dict(together.state_dicts()[place]), dict(alone), rtol=0, atol=1e-5
        )


def test_a_stack_trains_only_what_it_can_train_as_it_would_be_alone() -> None:
    """Half precision needs a scaler of its own, torch's optimizers a state of their own; stale
    averages of another rule would be lost.
    """
    adamw, named = segment(), SegmentConfig(optimizer=NamedOptimizer.of("AdamW", lr=1e-3))
    (origin,) = trained([adamw], "sequential").checkpoints()
    for configs, options in (
        ([adamw] * 2, {"precision": "float16"}),
        ([named] * 2, {}),
        ([segment("sgd")] * 2, {"origins": [origin] * 2}),
    ):
        assert isinstance(begin(configs, "population", **options), SequentialCohort)
    mixed = trained([adamw, named, adamw], "population")
    assert isinstance(mixed, SideBySideCohort) and mixed.members == [0, 1, 2]
    alone = trained([named], "sequential")
    assert same(mixed.state_dicts()[1], alone.state_dicts()[0])


def test_a_member_of_a_stack_takes_no_more_room_in_a_file_than_one_alone() -> None:
    sizes = []
    for kind in KINDS:
        file = io.BytesIO()
        write_checkpoint(trained([segment()] * 8, kind, steps=2).checkpoints()[5], file)
        sizes.append(len(file.getvalue()))
    assert abs(sizes[1] - sizes[0]) < 500


def test_tied_weights_have_both_names_in_the_checkpoints_of_a_stack(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    options: dict[str, Any] = {"text": "text.txt", "sequence_length": 8, "valid_tokens": 64}
    task, configs = tasks.get("gpt2", **options), [segment(batch_size=4), segment(batch_size=4)]
    stacked, alone = (
        trained(configs, kind, task=task, steps=2, data_dir=tmp_path) for kind in KINDS[::-1]
    )
    one, other = stacked.checkpoints()[1], alone.checkpoints()[1]
    assert [*one.model] == [*other.model] and isinstance(stacked, PopulationCohort)
    begin(configs[:1], "sequential", task=task, data_dir=tmp_path, origins=filed([one]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_diverged_member_has_a_checkpoint_and_spares_the_others(kind: str) -> None:
    exploding = SegmentConfig(genome=Genome(terms=[("GRAD", 1.0)], lr=1e4))
    configs, task = [segment(), exploding], tasks.get("quadratic")
    cohort = trained(configs, kind, task=task, steps=60)
    values = cohort.evaluate()
    assert math.isfinite(values[0]) and math.isnan(values[1])
    healthy, diverged = cohort.checkpoints()
    assert healthy.step == 60 and diverged.step < 60
    cohort.drop([True, False])
    assert [c.step for c in cohort.checkpoints()] == [60] and len(cohort.grad_norms()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_the_first_format_goes_on_as_it_did_then(kind: str) -> None:
    """Written before there were cohorts; the numbers are those of the training of that time."""
    with ASSET.open("rb") as file:
        origin = read_checkpoint(file)
    assert (origin.step, origin.position, origin.task) == (5, 5 * 24, "two_moons")
    config = segment(batch_size=24, clip_norm=1.0, sparsity=0.2, model={"width": 8})
    warm = dataclasses.replace(config.genome, use_warmup=True, warmup_steps=8)
    configs = [dataclasses.replace(config, genome=warm)] * 2
    cohort = trained(configs, kind, steps=5, origins=[origin] * 2, loss_window=5)
    assert cohort.evaluate()[0] == 0.37109375
    assert cohort.losses()[0] == pytest.approx(0.744986, abs=1e-6)
    assert cohort.grad_norms()[0] == pytest.approx(0.425565, abs=1e-6)
    size = sum(weight.abs().sum().item() for weight in cohort.checkpoints()[0].model.values())
    assert size == pytest.approx(23.198637, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_a_checkpoint_is_refused(kind: str) -> None:
    (origin,) = trained([segment()], "sequential", steps=2).checkpoints()
    with pytest.raises(CheckpointError, match="of task 'two_moons' with seed 3, not of 'digits'"):
        begin([segment()] * 2, kind, task=DIGITS, origins=[origin, None])
    with pytest.raises(CheckpointError, match="does not fit the training: .*size mismatch|Error"):
        begin([segment(model={"width": 8})] * 2, kind, origins=[origin] * 2)
    with pytest.raises(ValueError, match="one entry for each of 2 configurations, got 1"):
        begin([segment()] * 2, kind, origins=[origin])


def test_norms_are_measured_where_something_clips() -> None:
    configs = [segment(clip_norm=0.1), segment()]
    for kind in KINDS:
        plain = trainers.start(configs[1:], MOONS, seed=3, total_steps=10, trainer=kind)
        plain.train(10)
        assert math.isnan(plain.grad_norms()[0])
        clipped = trainers.start(configs, MOONS, seed=3, total_steps=10, trainer=kind)
        clipped.train(10)
        assert clipped.grad_norms()[0] > 0.1  # before clipping
        assert not same(*clipped.state_dicts())

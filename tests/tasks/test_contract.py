"""What holds for every registered task; data sets that need files are behind the marker `data`."""

from pathlib import Path

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.tasks import Split
from optuna_evo.tasks import Task


NEED_FILES = {"mnist", "fashion_mnist", "cifar10", "mnist_alexnet", "mnist_cnn", "mnist_resnet"}
NEED_FILES |= {"imdb", "ag_news", "sst2", "cola", "mrpc", "rte", "squad"}
ABSENT = {"mnli", "qnli", "qqp", "wnli", "stsb"}  # no files of these; test_text_classification
LARGE = {"imdb", "ag_news", "sst2", "squad"}  # a minute of tokenizing each


def _marks(name: str) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.data] if name in NEED_FILES else []
    return [*marks, pytest.mark.slow] if name in LARGE else marks


NAMES = [pytest.param(name, marks=_marks(name)) for name in tasks.names() if name not in ABSENT]
# Source code has windows of blanks only: one in Python 3.11; other versions may differ.
MAX_DUPLICATES = {"char_lm": 20, "gpt2": 20}


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Task:
    task = tasks.get(request.param)
    monkeypatch.delenv("OPTUNA_EVO_DATA", raising=False)
    if task.name in NEED_FILES:
        folder: Path = request.getfixturevalue("data_folder")
        monkeypatch.setenv("OPTUNA_EVO_DATA", str(folder))
    return task


def test_the_name_in_the_registry_is_the_name_of_the_task(task: Task) -> None:
    assert tasks.get(task.name) is task


def test_a_model_of_seeded_weights_gives_a_finite_loss(task: Task) -> None:
    split = task.load(None).train
    losses = [_loss(task, split, seed) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert all(0 < loss < 20 for loss in losses)


def test_the_metric_is_a_mean_over_rows(task: Task) -> None:
    split = task.load(None).valid
    with torch.random.fork_rng(), torch.inference_mode():
        outputs = task.build_model().eval()(split.inputs[:40])
    whole = task.metric(outputs, split.targets[:40])
    parts = [task.metric(outputs[i : i + 10], split.targets[i : i + 10]) for i in (0, 10, 20, 30)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_training_validation_and_test_rows_are_disjoint(task: Task) -> None:
    splits = task.load(None)
    parts = [splits.train, splits.valid, task.load_test(None)]
    rows = [{row.tobytes() for row in part.inputs.numpy()} for part in parts]
    shared = [len(rows[a] & rows[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert max(shared) <= MAX_DUPLICATES.get(task.name, 0), shared


def test_loading_twice_gives_the_same_rows(task: Task) -> None:
    first, second = task.load(None), task.load(None)
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.valid.targets, second.valid.targets)
    assert first.source == second.source


def test_inputs_are_of_order_one(task: Task) -> None:
    inputs = task.load(None).train.inputs
    assert inputs.dtype == torch.long or 0.1 < inputs.std() < 1.1


def test_augmentation_changes_rows_as_its_generator_says(task: Task) -> None:
    if task.augment is None:
        pytest.skip("no augmentation")
    images = task.load(None).train.inputs[:32]
    first, again, other = (
        task.augment(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == images.shape and first.dtype == images.dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other) and not torch.equal(first, images)


def _loss(task: Task, split: Split, seed: int) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = task.build_model().eval()
    with torch.inference_mode():
        return task.loss(model(split.inputs[:32]), split.targets[:32]).item()

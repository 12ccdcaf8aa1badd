"""Registry, own tasks, splits and the plain functions that tasks are made of."""

import dataclasses

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.errors import PluginError
from optuna_evo.tasks import accuracy
from optuna_evo.tasks import crop_and_flip
from optuna_evo.tasks import partition
from optuna_evo.tasks import Split
from optuna_evo.tasks._augment import random_crop
from optuna_evo.tasks._char_lm import Transformer


own_task = dataclasses.replace(tasks.get("two_moons"), name="own")


def test_the_image_and_text_tasks_are_registered() -> None:
    asked = {"mnist", "fashion_mnist", "cifar10", "digits", "char_lm"}
    assert asked <= set(tasks.names())


def test_an_unknown_task_names_the_allowed_ones() -> None:
    allowed = "must be one of ag_news, breast_cancer, char_lm, .*got 'digitz'"
    with pytest.raises(ValueError, match=allowed):
        tasks.get("digitz")


def test_an_own_task_is_found_by_module_and_attribute() -> None:
    assert tasks.get(f"{__name__}:own_task") is own_task


def made_task(*, batch_size: int = 8, sizes: tuple[int, ...] = ()) -> tasks.Task:
    return dataclasses.replace(own_task, batch_size=batch_size)


def test_a_task_may_be_made_from_options_and_is_made_once() -> None:
    made = tasks.get(f"{__name__}:made_task", batch_size=3, sizes=[1, 2])
    assert made.batch_size == 3
    assert made is tasks.get(f"{__name__}:made_task", sizes=[1, 2], batch_size=3)
    assert made is not tasks.get(f"{__name__}:made_task")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{__name__}:made_task", "Unknown option 'size': .* takes: batch_size, sizes"),
        ("digits", "Unknown option 'size': the task 'digits' takes no options"),
    ],
)
def test_an_unknown_option_of_a_task_names_the_allowed_ones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.get(name, size=3)


def test_rows_are_taken_with_what_belongs_to_them() -> None:
    split = Split(torch.arange(4.0), torch.arange(4), extras=["a", "b", "c", "d"])
    taken = split.take(torch.tensor([2, 0])).to("cpu")
    assert taken.inputs.tolist() == [2.0, 0.0] and list(taken.extras) == ["c", "a"]


def test_an_attribute_that_is_not_a_task_is_refused() -> None:
    with pytest.raises(PluginError, match="must be an `optuna_evo.tasks.Task`, got float"):
        tasks.get("math:pi")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"kind": "clustering"}, "`kind` must be one of"), ({"batch_size": 0}, "at least 1, got 0")],
)
def test_a_task_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(own_task, **changes)


def test_parts_of_a_partition_are_disjoint_and_always_the_same() -> None:
    first, second = partition(60_000, 15_000, 5_000)
    assert (len(first), len(second)) == (15_000, 5_000)
    assert len({*first.tolist()} | {*second.tolist()}) == 20_000
    assert torch.equal(first, partition(60_000, 15_000, 5_000)[0])


def test_a_partition_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 3\) rows do not fit into 10"):
        partition(10, 8, 3)


@pytest.mark.parametrize(("n_inputs", "n_targets"), [(3, 2), (0, 0)])
def test_a_split_needs_as_many_targets_as_inputs(n_inputs: int, n_targets: int) -> None:
    with pytest.raises(ValueError, match="as many targets as inputs"):
        Split(torch.zeros(n_inputs, 2), torch.zeros(n_targets))


def test_a_crop_is_a_shifted_image_with_zeros_around() -> None:
    image = torch.arange(1.0, 37.0).view(1, 1, 6, 6)
    crops = random_crop(image.repeat(400, 1, 1, 1), torch.Generator().manual_seed(0), padding=2)
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    allowed = [padded[..., y : y + 6, x : x + 6] for y in range(5) for x in range(5)]
    counts = [sum(torch.equal(crop, a[0]) for crop in crops) for a in allowed]
    assert sum(counts) == 400 and min(counts) > 0


def test_half_of_the_images_are_flipped() -> None:
    image = torch.zeros(2_000, 1, 12, 12)
    image[..., 6, 4] = 1.0  # where no crop can hide it
    columns = crop_and_flip(image, torch.Generator().manual_seed(0)).sum((1, 2)).argmax(1)
    assert abs((columns >= 6).float().mean() - (12 - 6) / 12) < 0.1
    assert set(columns.tolist()) == set(range(12))


def test_accuracy_counts_the_largest_logits() -> None:
    outputs = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert accuracy(outputs, torch.tensor([1, 1, 1])).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(("n_blocks", "n_layers"), [(1, 8), (3, 20)])
def test_the_residual_network_is_as_deep_as_the_paper_says(n_blocks: int, n_layers: int) -> None:
    model = tasks.get("mnist_resnet").build_model(n_blocks=n_blocks, width=4)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    weighted = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    shortcuts = [m for m in weighted if getattr(m, "kernel_size", None) == (1, 1)]
    assert len(weighted) - len(shortcuts) == n_layers and len(shortcuts) == 2


def test_the_transformer_cannot_see_what_it_predicts() -> None:
    model = Transformer().eval()
    text = torch.randint(97, (1, 64), generator=torch.Generator().manual_seed(0))
    changed = text.clone()
    changed[0, 40] = (text[0, 40] + 1) % 97
    before, after = model(text), model(changed)
    assert torch.equal(before[0, :40], after[0, :40])
    assert not torch.equal(before[0, 40:], after[0, 40:])


def test_a_width_that_heads_do_not_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of n_heads=4, got 130"):
        Transformer(width=130)

"""Task families: functions of their seeds, whose stacks are what each task is alone."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

from optuna_evo import tasks
from optuna_evo.meta_training import Characters
from optuna_evo.meta_training import DigitsCNN
from optuna_evo.meta_training import DigitsMLP
from optuna_evo.meta_training import FAMILIES
from optuna_evo.meta_training import gradients
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import Reparametrised
from optuna_evo.meta_training import task_seeds
from optuna_evo.meta_training import TaskFamily
from optuna_evo.meta_training._seeds import training_seed


MAKERS: dict[str, Callable[[], TaskFamily]] = {
    "quadratics": lambda: Quadratics(size=5),
    "noisy quadratics": lambda: Quadratics(size=5, noise=0.5, density=0.3),
    "mlp": lambda: DigitsMLP(width=6),
    "deep mlp": lambda: DigitsMLP(width=6, depth=2, activation="tanh"),
    "cnn": lambda: DigitsCNN(channels=[2, 3]),
    "characters": lambda: Characters(width=6, embedding=3),
    "other units": lambda: Reparametrised(DigitsMLP(width=6), per="tensor"),
}
every_family = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def test_every_named_family_is_tested_here() -> None:
    assert {make().name for make in MAKERS.values()} == {*FAMILIES} | {"reparametrised"}


@every_family
def test_a_task_is_a_function_of_its_seed(make: Callable[[], TaskFamily]) -> None:
    one, again, other = (make().draw(seed) for seed in (7, 7, 8))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["init"], other["init"])


@every_family
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_stack_is_its_tasks_one_by_one(make: Callable[[], TaskFamily], split: str) -> None:
    family, seeds = make(), [3, 4, 3]
    stack = family.sample(seeds)
    batches = [None] if split == "test" else [None, torch.tensor([0, 5, 130])]
    for batch in batches:
        together = stack.loss(stack.init, batch, split)  # type: ignore[arg-type]
        for i, seed in enumerate(seeds):
            alone = family.sample([seed])
            own = None if batch is None else batch[i : i + 1]
            value = alone.loss(alone.init, own, split)  # type: ignore[arg-type]
            torch.testing.assert_close(together[i : i + 1], value, rtol=1e-5, atol=1e-6)


@every_family
def test_members_have_gradients_of_their_own(make: Callable[[], TaskFamily]) -> None:
    family = make()
    stack = family.sample([1, 2])
    both = gradients(stack, stack.init, torch.zeros(2, dtype=torch.long))
    alone = family.sample([2])
    own = gradients(alone, alone.init, torch.zeros(1, dtype=torch.long))
    size = float(own.norm())
    assert size > 0
    torch.testing.assert_close(both[1:] / size, own / size, rtol=1e-4, atol=1e-5)


def test_an_mlp_of_a_stack_is_that_of_torch() -> None:
    family = DigitsMLP(width=6, depth=2)
    arrays = family.draw(5)
    model = nn.Sequential(
        nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 10)
    )
    _check_against(model, family, arrays, rows=slice(1077, 1437))


def test_a_cnn_of_a_stack_is_that_of_torch() -> None:
    family = DigitsCNN(channels=[2, 3])
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        *(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(12, 10),
    )
    _check_against(model, family, family.draw(5), rows=slice(1077, 1437))


def _check_against(
    model: nn.Module, family: TaskFamily, arrays: dict[str, Tensor], rows: slice
) -> None:
    nn.utils.vector_to_parameters(arrays["init"], model.parameters())
    expected = F.cross_entropy(model(arrays["x"][rows]), arrays["y"][rows])
    stack = {name: array.unsqueeze(0) for name, array in arrays.items()}
    found = family.loss(stack, stack["init"], None, "valid")
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)


def test_training_never_reads_validation_or_test_images() -> None:
    digits = tasks.get("digits")
    splits, test = digits.load(None), digits.load_test(None)
    arrays = DigitsMLP(width=4).draw(0)
    assert int(arrays["train"].max()) < len(splits.train)
    assert int(arrays["valid"].max()) < len(splits.valid)
    # the images are permuted and scaled, their sums only scaled
    sums = arrays["x"].sum(1)
    given = torch.cat([splits.train.inputs, splits.valid.inputs, test.inputs]).sum(1)
    torch.testing.assert_close(sums / sums[0], given / given[0], rtol=1e-4, atol=1e-4)


def test_windows_of_characters_come_from_stretches_that_do_not_overlap() -> None:
    from optuna_evo.meta_training._families import _characters as module

    n = len(module._text())
    assert n > 30_000
    ends = [int(high * n) for _, high in module._STRETCHES.values()]
    starts = [int(low * n) for low, _ in module._STRETCHES.values()]
    assert starts[1:] == ends[:-1]


def test_seeds_of_purposes_never_meet() -> None:
    seeds = [{*task_seeds(purpose, 500)} for purpose in ("train", "valid", "tune", "test")]  # type: ignore[arg-type]
    assert len(set.union(*seeds)) == 2000
    trained_on = {training_seed(0, stack, 1, pair, 0) for stack in range(9) for pair in range(99)}
    assert max(trained_on) < min(task_seeds("valid", 1))


def test_a_task_in_other_units_has_the_same_loss_at_the_same_place() -> None:
    plain = DigitsMLP(width=4)
    for per in ("task", "tensor", "weight"):
        family = Reparametrised(plain, low=0.1, high=10.0, per=per)
        own, given = family.sample([3]), plain.sample([3])
        assert not torch.allclose(own.init, given.init)
        torch.testing.assert_close(
            own.loss(own.init, None, "test"), given.loss(given.init, None, "test")
        )


def test_a_sparse_gradient_has_zeros_and_the_loss_stays() -> None:
    family, plain = Quadratics(size=50, density=0.2), Quadratics(size=50)
    stack, first = family.sample([0]), torch.zeros(1, dtype=torch.long)
    seen = gradients(stack, stack.init, first) != 0
    assert 0 < int(seen.sum()) < 25
    given = plain.sample([0])
    torch.testing.assert_close(
        stack.loss(stack.init, first, "train"), given.loss(given.init, first, "train")
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quadratics(size=0),
        lambda: Quadratics(density=0.0),
        lambda: DigitsMLP(width=0),
        lambda: DigitsMLP(activation="gelu"),
        lambda: DigitsCNN(channels=[4]),
        lambda: Characters(batch_size=0),
        lambda: Reparametrised(Quadratics(), low=0.0),
        lambda: Reparametrised(Quadratics(), per="layer"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(make: Callable[[], TaskFamily]) -> None:
    with pytest.raises(ValueError, match="got") as caught:
        make()
    assert "\n" not in str(caught.value)

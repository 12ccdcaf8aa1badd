"""Scores of classifiers with one output, and of all shapes that outputs and targets come in."""

from collections.abc import Callable
import dataclasses

import pytest
import torch
from torch import Tensor
import torch.nn.functional as F

from optuna_evo import tasks
from optuna_evo.errors import UsageError
from optuna_evo.tasks import accuracy
from optuna_evo.tasks import cross_entropy
from optuna_evo.tasks import Split
from optuna_evo.tasks import Task
from optuna_evo.tasks._measures import mean_squared_error
from optuna_evo.tasks._scores import scores


CLASSES = torch.arange(400) % 2
PERFECT = (CLASSES * 2 - 1) * torch.linspace(0.1, 3.0, 400)


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs.reshape(-1), targets.reshape(-1).float())


def of_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy(outputs.reshape(-1), targets.reshape(-1).float())


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(-1), targets.reshape(-1).float())


def classifier(loss: Callable[[Tensor, Tensor], Tensor] = binary_cross_entropy) -> Task:
    return dataclasses.replace(tasks.get("two_moons"), loss=loss)


def found(
    outputs: Tensor, targets: Tensor = CLASSES, task: Task | None = None
) -> dict[str, float]:
    return scores(task or classifier(), outputs, Split(torch.zeros(len(targets), 1), targets))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("targets", [CLASSES, CLASSES.float(), CLASSES[:, None], CLASSES == 1])
def test_one_output_is_the_logit_of_class_1(shape: tuple[int, ...], targets: Tensor) -> None:
    logits = PERFECT.reshape(shape)
    noise = torch.randn(400, generator=torch.manual_seed(0)).reshape(shape)
    perfect, reversed_, random = (found(z, targets) for z in (logits, -logits, noise))
    assert perfect == {"accuracy": 1.0, "f1": 1.0, "auc": 1.0, "matthews": 1.0}
    assert reversed_ == {"accuracy": 0.0, "f1": 0.0, "auc": 0.0, "matthews": -1.0}
    assert all(abs(random[name] - 0.5) < 0.1 for name in ("accuracy", "f1", "auc"))
    assert abs(random["matthews"]) < 0.2


@pytest.mark.parametrize("loss", [of_probabilities, squared])
def test_one_output_that_its_loss_takes_for_a_probability_is_one(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    task = classifier(loss)
    assert found(PERFECT.sigmoid()[:, None], task=task)["accuracy"] == 1.0
    assert found(1 - PERFECT.sigmoid()[:, None], task=task)["matthews"] == -1.0


def test_logits_between_0_and_1_are_no_probabilities() -> None:
    assert found(torch.full((400, 1), 0.3))["accuracy"] == 0.5
    assert found(torch.full((400, 1), 0.3), torch.ones(400))["accuracy"] == 1.0


def test_one_and_two_outputs_score_alike() -> None:
    logits = torch.randn(400, generator=torch.manual_seed(1)) + PERFECT / 3
    one, two = found(logits), found(torch.stack([torch.zeros(400), logits], dim=1))
    assert one == pytest.approx(two) and 0.6 < one["accuracy"] < 0.95


def test_rows_of_several_targets_score_as_their_flat_form() -> None:
    generator = torch.manual_seed(2)
    outputs = torch.randn(20, 5, 3, generator=generator)
    targets = torch.randint(3, (20, 5), generator=generator)
    flat = found(outputs.flatten(0, 1), targets.flatten())
    assert found(outputs, targets) == flat
    assert found(outputs.movedim(-1, 1), targets) == flat  # as torch's cross entropy has it
    ignored = targets.clone()
    ignored[:, 0] = -100
    assert found(outputs, ignored) == found(outputs[:, 1:].flatten(0, 1), targets[:, 1:].flatten())


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (
            (400, 3, 7),
            (400,),
            r"take outputs \(n, classes\), or .* got .*\(400, 3, 7\) and .*\(400,",
        ),
        ((400,), (400, 2), r"accuracy, f1, auc, matthews .* targets of shape \(400, 2\)"),
        ((), (400,), r"got outputs of shape \(\)"),
    ],
)
def test_shapes_of_a_classifier_that_fit_no_reading_are_refused(
    outputs: tuple[int, ...], targets: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        found(torch.zeros(outputs), torch.zeros(targets, dtype=torch.long))


@pytest.mark.parametrize("outputs", [(400, 1), (400, 2)])
def test_class_numbers_that_have_no_output_are_refused(outputs: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="numbers from 0 to 1, as the outputs have 2 .* got 2"):
        found(torch.zeros(outputs), torch.arange(400) % 3)


@pytest.mark.parametrize("shapes", [((-1, 1), (-1,)), ((-1,), (-1, 1)), ((-1, 1), (-1, 1))])
def test_one_column_of_values_is_no_other_than_none(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    task = tasks.get("quadratic")
    outputs, targets = torch.linspace(0, 1, 8), torch.linspace(0, 1, 8) ** 2
    expected = found(outputs, targets, task)
    shaped = outputs.reshape(shapes[0]), targets.reshape(shapes[1])
    assert found(*shaped, task) == expected
    assert task.loss(*shaped) == pytest.approx(expected["mse"])
    assert expected["mse"] == pytest.approx(float(((outputs - targets) ** 2).mean()))


def test_several_values_a_row_count_alike_and_other_numbers_of_them_are_refused() -> None:
    task = tasks.get("quadratic")
    outputs, targets = torch.zeros(4, 2), torch.tensor([[0.0, 2.0]] * 4)
    assert found(outputs, targets, task)["mse"] == mean_squared_error(outputs, targets) == 2.0
    with pytest.raises(UsageError, match=r"mse, mae, r2 take .*got .* \(4, 2\) .* \(4,\)"):
        found(outputs, targets[:, 0], task)
    with pytest.raises(UsageError, match=r"`mean_squared_error` takes .*\(4, 2\) .* \(4,\)"):
        mean_squared_error(outputs, targets[:, 0])


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("targets", [CLASSES, CLASSES.float(), CLASSES[:, None]])
def test_accuracy_and_cross_entropy_take_one_logit(
    shape: tuple[int, ...], targets: Tensor
) -> None:
    logits = PERFECT.reshape(shape)
    assert accuracy(logits, targets) == 1 and accuracy(-logits, targets) == 0
    two = torch.stack([torch.zeros(400), PERFECT], dim=1)
    assert cross_entropy(logits, targets).item() == pytest.approx(
        cross_entropy(two, CLASSES).item()
    )
    assert accuracy(two, targets) == 1


@pytest.mark.parametrize("measure", [accuracy, cross_entropy])
@pytest.mark.parametrize("shapes", [((8, 3), (8, 3)), ((8, 3), (4,)), ((8, 1), (4,))])
def test_shapes_that_a_measure_cannot_read_are_refused(
    measure: Callable[[Tensor, Tensor], Tensor], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(UsageError, match=rf"`{measure.__name__}` takes outputs"):
        measure(torch.zeros(shapes[0]), torch.zeros(shapes[1], dtype=torch.long))


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_a_trained_model_with_one_output_scores_as_one_with_two(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    splits = tasks.get("two_moons").load(None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
        )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        loss(model(splits.train.inputs), splits.train.targets).backward()
        optimizer.step()
    values = scores(classifier(loss), model(splits.valid.inputs), splits.valid)
    assert values["auc"] > values["accuracy"] > 0.9 and values["matthews"] > 0.8
    assert accuracy(model(splits.valid.inputs), splits.valid.targets) == pytest.approx(
        values["accuracy"]
    )

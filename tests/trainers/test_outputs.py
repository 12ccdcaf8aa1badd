"""Models that return more than one tensor: the task's loss and metric say what it means."""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import tasks
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import FitnessObjective
from optuna_evo.objectives import SegmentObjective
from optuna_evo.tasks import Task
from optuna_evo.trainers import start


CONFIGS = [TrainingConfig(genome=catalog[name]) for name in ("adamw", "sgd", "lion")]


class Pair(NamedTuple):
    logits: Tensor
    features: Tensor


class Wrapped(nn.Module):
    """The model of two moons, whose outputs are put into something else."""

    def __init__(self, inner: nn.Module, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner = inner
        self.wrap = wrap

    def forward(self, inputs: Tensor) -> Any:
        return self.wrap(self.inner(inputs))


class Opaque:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


KINDS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "dict": (lambda t: {"logits": t, "aux": t.square().mean()}, lambda o: o["logits"]),
    "tuple": (lambda t: (t, t * 2), lambda o: o[0]),
    "list": (lambda t: [[t], {"twice": t * 2}], lambda o: o[0][0]),
    "named tuple": (lambda t: Pair(t, t * 2), lambda o: o.logits),
    "with none": (lambda t: {"logits": t, "attention": None, "n": 3}, lambda o: o["logits"]),
}
TENSORS_ONLY = ("dict", "tuple", "list", "named tuple")


def wrapped(kind: str) -> Task:
    wrap, unwrap = KINDS[kind]
    plain = tasks.get("two_moons")
    return dataclasses.replace(
        plain,
        build_model=lambda **options: Wrapped(plain.build_model(**options), wrap),
        loss=lambda outputs, targets: plain.loss(unwrap(outputs), targets),
        metric=lambda outputs, targets: plain.metric(unwrap(outputs), targets),
    )


def trained(task: Task, trainer: str) -> tuple[list[float], list[float]]:
    cohort = start(CONFIGS, task, seed=0, total_steps=6, trainer=trainer)
    cohort.train(6)
    return list(cohort.evaluate()), list(cohort.losses())


@pytest.mark.parametrize("trainer", ["sequential", "population", "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_any_structure_train_and_measure_as_one_tensor(kind: str, trainer: str) -> None:
    expected = trained(tasks.get("two_moons"), "sequential")
    found = trained(wrapped(kind), trainer)
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert found[1] == pytest.approx(expected[1], rel=1e-4)


@pytest.mark.parametrize("kind", TENSORS_ONLY)
def test_trees_of_tensors_are_stacked_and_others_train_alone(kind: str) -> None:
    def name(task: Task) -> str:
        cohort = start(CONFIGS, task, seed=0, total_steps=2, trainer="population")
        return type(cohort).__name__

    assert name(wrapped(kind)) == "PopulationCohort"
    assert name(wrapped("with none")) == "SequentialCohort"


@pytest.mark.parametrize("trainer", ["sequential", "population"])
@pytest.mark.parametrize("kind", TENSORS_ONLY)
def test_whole_outputs_keep_their_structure(kind: str, trainer: str) -> None:
    task = wrapped(kind)
    cohort = start(CONFIGS, task, seed=0, total_steps=2, trainer=trainer)
    valid = task.load(None).valid
    plain = start(CONFIGS, tasks.get("two_moons"), seed=0, total_steps=2, trainer="sequential")
    for outputs, expected in zip(cohort.outputs(valid), plain.outputs(valid), strict=True):
        assert torch.allclose(KINDS[kind][1](outputs), expected, atol=1e-5)
        if kind == "dict":  # over all rows, whatever the batches were
            assert torch.allclose(outputs["aux"], expected.square().mean(), rtol=1e-3)


@pytest.mark.parametrize("trainer", ["sequential", "population"])
def test_one_tensor_that_is_not_finite_makes_the_member_measure_nan(trainer: str) -> None:
    task = wrapped("tuple")
    plain = tasks.get("two_moons")
    task = dataclasses.replace(
        task, build_model=lambda: Wrapped(plain.build_model(), lambda t: (t, t / 0))
    )
    cohort = start(CONFIGS, task, seed=0, total_steps=2, trainer=trainer)
    assert all(value != value for value in cohort.evaluate())
    assert list(cohort.outputs(task.load(None).valid)) == [None] * 3


@pytest.mark.parametrize("kind", ["dict", "with none"])
def test_every_objective_trains_such_models(kind: str) -> None:
    task = wrapped(kind)
    objectives: list[Any] = [
        CurveObjective(task=task, seed=0, steps=4, reports=2),
        FitnessObjective(tasks=[task], seeds=[0], steps=4),
        SegmentObjective(task=task, seed=0, steps=4),
    ]
    for objective in objectives:
        run = objective.start(CONFIGS)
        values = run.advance()
        assert len(values) == 3 and all(0 <= value <= 1.1 for value in values)
        assert len(run.records()) == 3


def test_a_named_metric_of_such_a_model_is_refused_in_one_line() -> None:
    objective = CurveObjective(task=wrapped("dict"), seed=0, steps=4, reports=2, metric="f1")
    with pytest.raises(UsageError, match="'f1' needs one tensor of outputs, .* returns dict"):
        objective.start(CONFIGS).advance()


def test_outputs_without_a_tensor_are_refused_in_one_line() -> None:
    plain = tasks.get("two_moons")
    task = dataclasses.replace(
        plain,
        build_model=lambda: Wrapped(plain.build_model(), Opaque),
        loss=lambda outputs, targets: plain.loss(outputs.logits, targets),
        metric=lambda outputs, targets: plain.metric(outputs.logits, targets),
    )
    cohort = start(CONFIGS, task, seed=0, total_steps=2, trainer="population")
    cohort.train(2)
    with pytest.raises(UsageError, match="must return a tensor, or tensors in .*; got Opaque"):
        cohort.evaluate()

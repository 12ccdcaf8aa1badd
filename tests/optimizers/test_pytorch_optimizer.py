"""Optimizers of the package pytorch-optimizer, where it is there: what they need of a training."""

import pytest
import torch

from optuna_evo import NamedOptimizer
from optuna_evo import tasks
from optuna_evo import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.optimizers import build_named
from optuna_evo.optimizers import check_named
from optuna_evo.trainers import start


def test_a_package_that_is_not_there_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytorch_optimizer", None)
    with pytest.raises(UsageError, match=r"optuna-evo\[judge\]"):
        check_named(NamedOptimizer.of("pytorch_optimizer.SOAP"))


def test_a_module_that_is_not_meant_is_not_imported() -> None:
    with pytest.raises(UsageError, match="There is no optimizer 'antigravity.Fly'"):
        check_named(NamedOptimizer.of("antigravity.Fly"))


def test_schedule_free_is_measured_at_its_average_and_trains_on_where_it_was() -> None:
    pytest.importorskip("pytorch_optimizer")
    model = torch.nn.Linear(3, 1, bias=False)
    config = NamedOptimizer.of("pytorch_optimizer.ScheduleFreeAdamW", lr=0.1)
    optimizer = build_named(config, model, total_steps=None)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    (weight,) = model.parameters()
    trained = weight.detach().clone()
    z = optimizer.state_dict()["parts"][0]["state"][0]["z"]
    optimizer.eval()
    # y = (1 - beta) z + beta x (Defazio et al., 2024), with beta 0.9
    torch.testing.assert_close(weight.detach(), (trained - 0.1 * z) / 0.9)
    optimizer.train()
    torch.testing.assert_close(weight.detach(), trained)


def test_a_training_looks_at_the_average_without_going_another_way() -> None:
    pytest.importorskip("pytorch_optimizer")
    task = tasks.get("two_moons")
    config = NamedOptimizer.of("pytorch_optimizer.ScheduleFreeAdamW", lr=0.05)
    looked, went = (
        start([TrainingConfig(optimizer=config)], task, seed=0, total_steps=20) for _ in range(2)
    )
    for _ in range(4):
        looked.train(5)
        looked.evaluate()
    went.train(20)
    weights, others = looked.state_dicts()[0], went.state_dicts()[0]
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], atol=1e-5, rtol=1e-4)
    trained = went.checkpoints()[0].model
    assert any(not torch.equal(others[name], trained[name]) for name in others)


def test_sophia_gets_gradients_that_it_can_differentiate_and_repeats_itself() -> None:
    pytest.importorskip("pytorch_optimizer")
    task = tasks.get("two_moons")
    config = NamedOptimizer.of("pytorch_optimizer.SophiaH", lr=0.05)
    losses = []
    for _ in range(2):
        cohort = start([TrainingConfig(optimizer=config)], task, seed=0, total_steps=40)
        before = cohort.evaluate(measure=task.loss)[0]
        cohort.train(40)
        losses.append(cohort.evaluate(measure=task.loss)[0])
    assert losses[0] == losses[1] < before

"""Cohorts of genomes with matrix terms, modifiers and averaged weights."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo import TrainingConfig
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import load_weights


GENOMES = [
    dataclasses.replace(catalog["muon"], lr=0.01, tail_average=0.5),
    dataclasses.replace(catalog["cautious_adamw"], lr=0.01),
    dataclasses.replace(catalog["soap"], tail_average=0.3),
    dataclasses.replace(catalog["adamw"], lr=0.01, tail_average=0.25),
    Genome(terms=[("LION", 1.0)], lr=3e-3, use_rms_norm=True, norm_bound=0.5),
]
STEPS = 24


def net() -> nn.Module:
    """Return a model whose convolutions lie otherwise in a stack, in float64."""
    convolutions = [nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3), nn.Tanh()]
    layers = [nn.Unflatten(1, (1, 8, 8)), *convolutions, nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers).double()


def as_double(split: tasks.Split) -> tasks.Split:
    return tasks.Split(split.inputs.double(), split.targets)


def load(data_dir: Any = None) -> tasks.Splits:
    found = DIGITS.load(None)
    return tasks.Splits(as_double(found.train), as_double(found.valid), found.source)


DIGITS = tasks.get("digits")
TASK = dataclasses.replace(DIGITS, name="double_digits", build_model=net, load=load)


def start(genomes: list[Genome], trainer: str, **options: Any) -> Cohort:
    configs = [TrainingConfig(genome=genome) for genome in genomes]
    settings = {"seed": 0, "total_steps": STEPS, "precision": "float32", **options}
    return trainers.start(configs, TASK, trainer=trainer, **settings)


def assert_alike(ours: Cohort, others: Cohort) -> None:
    for own, other in zip(ours.state_dicts(), others.state_dicts(), strict=True):
        for name in own:
            torch.testing.assert_close(own[name], other[name], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        *(torch.tensor(c.evaluate(measure=tasks.cross_entropy)) for c in (ours, others)),
        rtol=1e-6,
        atol=1e-6,
    )


def test_a_stack_trains_them_as_one_after_another() -> None:
    stack, alone = (start(GENOMES, trainer) for trainer in ("population", "sequential"))
    for steps in (10, 10, 4):
        for cohort in (stack, alone):
            cohort.train(steps)
        assert_alike(stack, alone)
        if steps == 10:
            alive = [number != 1 for number in stack.members]
            for cohort in (stack, alone):
                cohort.drop(alive)
    kept, own = stack.checkpoints()[0], alone.checkpoints()[0]
    assert kept.optimizer["state"].keys() == own.optimizer["state"].keys()
    for i, state in own.optimizer["state"].items():
        assert kept.optimizer["state"][i].keys() == state.keys()
        for name, value in state.items():
            torch.testing.assert_close(kept.optimizer["state"][i][name], value)


@pytest.mark.parametrize("trainer", ["population", "sequential"])
def test_it_goes_on_from_checkpoints(trainer: str) -> None:
    genomes = [dataclasses.replace(genome, horizon=STEPS) for genome in GENOMES]
    whole = start(genomes, trainer, segment=True)
    whole.train(STEPS)
    # one before, one after the first average of weights has begun
    for first in (10, 20):
        part = start(genomes, trainer, total_steps=first, segment=True)
        part.train(first)
        rest = start(
            genomes, trainer, total_steps=STEPS - first, segment=True, origins=part.checkpoints()
        )
        rest.train(STEPS - first)
        assert_alike(rest, whole)


def test_a_checkpoint_has_the_weights_of_the_training_and_an_export_the_averages() -> None:
    (genome,) = GENOMES[3:4]
    for trainer in ("population", "sequential"):
        cohort = start([genome], trainer)
        cohort.train(STEPS)
        (checkpoint,), (state,) = cohort.checkpoints(), cohort.state_dicts()
        assert isinstance(checkpoint, Checkpoint)
        assert any(not torch.equal(checkpoint.model[name], state[name]) for name in state)
        model = net()
        load_weights(model, checkpoint)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)

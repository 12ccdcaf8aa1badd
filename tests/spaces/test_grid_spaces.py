"""The grids of the sources, and the ranges that they span."""

from typing import Any

import optuna
import pytest

from optuna_evo.errors import SpecError
from optuna_evo.spaces import grid_space
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_space


def suggested(space: dict[str, Any]) -> dict[str, Any]:
    data = {"name": "s", "tasks": ["digits"], "objective": {"name": "accuracy"}, "space": space}
    spec = StudySpec.from_dict(data)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    build_space(spec)(trial)
    return trial.distributions


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("bert", {"lr": {1e-5, 2e-5, 3e-5}, "batch_size": {16, 32}, "epochs": {3, 4, 5}}),
        ("roberta", {"lr": {1e-5, 2e-5, 3e-5}, "batch_size": {16, 32}, "epochs": {3, 4, 5}}),
        ("distilbert", {"lr": {5e-5, 1e-4, 5e-4}, "batch_size": {16, 32}, "epochs": {3, 4, 5}}),
        (
            "cnn",
            {
                "lr": {1e-3, 1e-4},
                "batch_size": {32, 64},
                "epochs": {10, 20},
                "dropout": {0.3, 0.5},
            },
        ),
        (
            "resnet",
            {
                "lr": {1e-3, 1e-4},
                "batch_size": {32, 64},
                "epochs": {10, 20},
                "weight_decay": {1e-4, 1e-5},
            },
        ),
    ],
)
def test_the_grids_are_those_of_the_sources_and_the_ranges_span_them(
    name: str, grid: dict[str, set[float]]
) -> None:
    discrete, continuous = suggested({"name": name}), suggested({"name": f"{name}_continuous"})
    assert {key: set(d.choices) for key, d in discrete.items()} == grid
    ranges = {key: (d.low, d.high) for key, d in continuous.items()}
    assert ranges == {key: (min(values), max(values)) for key, values in grid.items()}
    assert continuous["lr"].log and not continuous["epochs"].log


def test_a_spec_changes_values_and_leaves_parameters_out() -> None:
    space = {"name": "bert_continuous", "lr": [1e-4, 1e-2], "epochs": []}
    distributions = suggested(space)
    assert distributions.keys() == {"lr", "batch_size"}
    assert (distributions["lr"].low, distributions["lr"].high) == (1e-4, 1e-2)


def test_what_is_suggested_reaches_the_configuration() -> None:
    values = {"lr": 1e-3, "batch_size": 64, "epochs": 20, "dropout": 0.5, "weight_decay": 1e-5}
    config = grid_space(
        optuna.trial.FixedTrial(values), **{key: [value] for key, value in values.items()}
    )
    assert (config.genome.lr, config.genome.weight_decay) == (1e-3, 1e-5)
    assert (config.batch_size, config.epochs, config.model) == (64, 20, {"dropout": 0.5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamax"}, "must be one of .* got 'adamax'"),
        ({"lr": "fast"}, "`space.lr` must be a list, each a finite number or false, got 'fast'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suggested({"name": "bert", **options})


def test_epochs_that_an_objective_would_not_train_are_refused() -> None:
    spec = StudySpec.from_dict({"name": "s", "tasks": ["digits"], "space": {"name": "bert"}})
    with pytest.raises(SpecError, match="'bert' sets epochs.*\"accuracy\".*epochs = false"):
        build_space(spec)

"""The package's controllers on tasks that they were not trained on."""

from collections.abc import Mapping
from typing import Any

import pytest

from optuna_evo.learned import controllers
from optuna_evo.learned import KINDS
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import evaluate


DIGITS: Mapping[str, Any] = {"name": "digits_mlp", "width": 32}
UNITS = {"low": 0.01, "high": 100.0, "per": "tensor", "loss": [0.001, 1000.0]}
FAMILIES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any] | None]] = {
    "graph": (DIGITS, None),
    "hybrid": (DIGITS, None),
    "lstm": ({"name": "quadratics", "size": 10}, None),
    "memory": ({"name": "quadratics", "size": 10, "noise": 0.5, "density": 0.2}, None),
    "mlp": (DIGITS, None),
    "transformer": ({**DIGITS, "zero_head": True}, UNITS),
}


def evaluated(name: str, *, n_tasks: int, steps: int) -> Any:
    options, reparametrise = dict(FAMILIES[name][0]), FAMILIES[name][1]
    family = build_family(options.pop("name"), options, reparametrise=reparametrise)
    how: dict[str, Any] = {"n_tasks": n_tasks, "steps": steps, "splits": ["train"]}
    return evaluate(controllers[name], family, baselines={}, **how)


def test_there_is_one_of_each_kind() -> None:
    # a column stands on a controller that one has
    assert {*controllers} == {*FAMILIES} == {*KINDS} - {"column"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_trained_controller_beats_its_untrained_self(name: str) -> None:
    found = evaluated(name, n_tasks=64, steps=100).compare("untrained", 100, "train")
    assert found.is_better  # paired over tasks, the interval of the difference excludes 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_it_stays_finite_at_five_times_its_horizon(name: str) -> None:
    losses = evaluated(name, n_tasks=64, steps=500).losses["controller"]["train"]
    assert losses.isfinite().all()

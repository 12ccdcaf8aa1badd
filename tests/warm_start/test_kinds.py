"""A source must have a value that means something in the new space."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from optuna_evo.study import create_study
from optuna_evo.warm_start import read_references
from tests.cli.test_cli import folder as folder  # a fixture
from tests.warm_start.test_warm_start import Call
from tests.warm_start.test_warm_start import NAMES
from tests.warm_start.test_warm_start import old_db as old_db  # a fixture
from tests.warm_start.test_warm_start import run_cli as run_cli  # a fixture
from tests.warm_start.test_warm_start import storage as storage  # a fixture
from tests.warm_start.test_warm_start import training_spec


def other_kind(storage: Any, name: str = "kinds", *choices: Any) -> None:
    """Make a finished study whose lr, the only parameter, is a choice."""
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    distribution = optuna.distributions.CategoricalDistribution(choices)
    for number in range(9):
        choice = choices[number % len(choices)]
        study.add_trial(
            optuna.create_trial(
                value=float(number), params={"lr": choice}, distributions={"lr": distribution}
            )
        )


@pytest.mark.parametrize("choices", [("scale", "auto"), ("0.001", "0.01"), (True, False), (None,)])
def test_a_source_of_which_no_value_converts_is_refused_at_create(
    folder: Path, old_db: str, run_cli: Call, choices: tuple[Any, ...]
) -> None:
    other_kind("sqlite:///old.db", "kinds", *choices)
    before = sorted(folder.iterdir())
    create = ("create", "new", "train.toml", "--warm-start", "sqlite:///old.db#kinds")
    code, out, err = run_cli(*create)
    assert code in (1, 2) and err.count("\n") == 1 and "Starts from" not in out
    assert "has no value that this one could start from" in err
    assert f"'lr' is one of {', '.join(map(repr, choices))} there and a float in [" in err
    assert sorted(folder.iterdir()) == before


def test_a_source_of_which_some_values_convert_is_used(
    folder: Path, old_db: str, run_cli: Call
) -> None:
    other_kind("sqlite:///old.db", "kinds", "scale", "auto", 0.001)
    create = ("create", "new", "train.toml", "--warm-start", "sqlite:///old.db#kinds")
    code, out, err = run_cli(*create)
    assert (code, err) == (0, "") and "#kinds." in out
    code, out, err = run_cli("run", "new")
    assert code == 0 and "Warning" not in err and "3 complete" in out and "failed" not in out


def test_auto_leaves_out_studies_of_which_no_value_converts(storage: Any) -> None:
    spec = training_spec("new", warm_start=["auto"])
    study = optuna.create_study(study_name="kinds", storage=storage, direction="maximize")
    distribution = optuna.distributions.CategoricalDistribution(["auto", "scale"])
    study.add_trial(
        optuna.create_trial(
            value=1.0,
            params=dict.fromkeys(NAMES, "auto"),
            distributions=dict.fromkeys(NAMES, distribution),
        )
    )
    assert read_references(create_study(spec, storage).study) == []

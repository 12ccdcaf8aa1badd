"""What is reported about a warm start."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.reports import sources_panel
from optuna_evo.reports import summarise_sources
from optuna_evo.search import open_storage
from optuna_evo.warm_start import keep_references
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import SourceReader
from tests.warm_start.test_warm_start import old_study


PROPOSED = [
    ("portfolio", 3.0),
    ("portfolio", 5.0),
    ("prior", 7.0),
    ("base", 4.0),
    ("base", 6.0),
    ("genetic 1: litter", 1.0),  # the words of schema 1
    ("genetic 1: offspring", 0.5),
    ("genetic 1: candidate", 0.0),
]


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.RDBStorage:
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def warm_study(storage: Any, direction: str) -> optuna.Study:
    study = optuna.create_study(study_name="new", storage=storage, direction=direction)
    sign = 1 if direction == "maximize" else -1
    for part, value in PROPOSED:
        attrs = {PROPOSED_BY.key: part}
        study.add_trial(optuna.create_trial(value=sign * value, user_attrs=attrs))
    keep_references(study, [Reference("old"), Reference("gone")])
    study.set_user_attr("source_weights", {"old": 0.75})
    return study


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_parts_of_the_sampler_are_told_apart_and_compared_with_the_portfolio(
    storage: Any, direction: str
) -> None:
    old_study(storage)
    study = warm_study(storage, direction)
    summary = summarise_sources(study, ["lr", "dropout"], SourceReader(storage))
    sign = 1 if direction == "maximize" else -1
    found = {
        p.by: (p.n_trials, sign * p.mean, sign * p.best, p.best_trial) for p in summary.proposals
    }
    assert found == {
        "portfolio": (2, 4.0, 5.0, 1),
        "prior": (1, 7.0, 7.0, 2),
        "base": (2, 5.0, 6.0, 4),
        "genetic 1": (3, 0.5, 1.0, 5),
    }
    assert summary.best is not None and summary.best.by == "prior"
    assert summary.beaten == pytest.approx(4 / 5)


def test_sources_are_listed_with_what_is_shared_or_why_they_cannot_be_read(storage: Any) -> None:
    old_study(storage)
    study = warm_study(storage, "maximize")
    summary = summarise_sources(study, ["lr", "dropout"], SourceReader(storage))
    old, gone = summary.rows
    assert (old.n_trials, old.shared, old.weight, old.problem) == (12, ["lr"], 0.75, "")
    assert gone.n_trials is None and "There is no study 'gone'" in gone.problem
    console = Console(record=True, width=100)
    console.print(sources_panel(summary))
    text = console.export_text()
    for expected in ("1 of 2", "0.75", "The best value, 7.0000, is that of trial 2", "80 %"):
        assert expected in text


def test_a_study_yet_to_run_has_sources_and_nothing_else(storage: Any) -> None:
    old_study(storage)
    study = optuna.create_study(study_name="new", storage=storage)
    keep_references(study, [Reference("old")])
    summary = summarise_sources(study, ["lr"], SourceReader(storage))
    assert summary.rows[0].weight is None
    assert (summary.proposals, summary.best, summary.beaten) == ([], None, None)
    Console(quiet=True).print(sources_panel(summary))

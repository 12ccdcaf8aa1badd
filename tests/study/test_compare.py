"""Samplers compared in studies of their own."""

from pathlib import Path
import signal
from typing import Any

import optuna
import pytest

from optuna_evo.errors import SpecError
from optuna_evo.errors import StudyMismatchError
from optuna_evo.errors import UsageError
from optuna_evo.search import open_storage
from optuna_evo.search import search as original_search
from optuna_evo.study import comparison_specs
from optuna_evo.study import count_finished
from optuna_evo.study import create_study
from optuna_evo.study import read_comparison
from optuna_evo.study import run_comparison
from optuna_evo.study import run_study
from tests.cli.test_cli import call
from tests.cli.test_cli import folder as folder  # a fixture
from tests.cli.test_cli import members
from tests.cli.test_cli import run
from tests.cli.test_cli import start
from tests.cli.test_cli import wait_for_trials
from tests.study.test_study import small_spec


def tiny(**changes: Any) -> Any:
    return small_spec(n_trials=2, objective={"seeds": 1}, **changes)


def test_each_sampler_searches_with_the_same_seeds(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    specs = comparison_specs(tiny(seed=3), ["random", " tpe"], 2)
    assert [spec.name for spec in specs["tpe"]] == ["small/tpe/3", "small/tpe/4"]
    run_comparison(specs, storage, device="cpu")
    assert count_finished(specs, storage) == 8
    comparison = read_comparison("small", specs, storage)
    assert [each.label for each in comparison.contenders] == ["random", "tpe"]
    assert comparison.seeds == [3, 4]
    # both begin with the same random draws
    first, second = comparison.contenders
    assert first.courses[0].best[0] == second.courses[0].best[0]
    assert first.training_seconds > 0 and first.sampler_seconds > 0


def test_what_is_finished_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    searched: list[str] = []

    def counted(study: optuna.Study, **options: Any) -> int:
        searched.append(study.study_name)
        if len(searched) == 2:
            raise KeyboardInterrupt
        return original_search(study, **options)

    monkeypatch.setattr("optuna_evo.study._run.search", counted)
    specs = comparison_specs(tiny(), ["random", "ga"], 1)
    with pytest.raises(KeyboardInterrupt):
        run_comparison(specs, storage, device="cpu")
    run_comparison(specs, storage, device="cpu")
    run_comparison(specs, storage, device="cpu")
    assert searched == ["small/random/0", "small/ga/0", "small/ga/0"]


def test_the_samplers_of_the_spec_keeps_its_options() -> None:
    specs = comparison_specs(tiny(), ["ga", "nsgaii"], 1)
    assert specs["ga"][0].sampler.options["population_size"] == 3
    assert specs["nsgaii"][0].sampler.options == {}


@pytest.mark.slow
def test_sources_are_for_meta_and_what_it_is_the_base_of(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    old = create_study(tiny(name="old"), storage)
    run_study(old, device="cpu")
    specs = comparison_specs(tiny(warm_start=["auto"]), ["random", "meta", "meta+ga"], 2)
    run_comparison(specs, storage, device="cpu")
    attrs = {
        label: optuna.load_study(study_name=each[1].name, storage=storage).user_attrs
        for label, each in specs.items()
    }
    assert "optuna_evo:sources" not in attrs["random"]
    assert attrs["meta"]["optuna_evo:sources"] == attrs["meta+ga"]["optuna_evo:sources"] == ["old"]
    assert specs["meta+ga"][0].sampler.options["population_size"] == 3
    comparison = read_comparison("small", specs, storage)
    best_of_old = old.study.best_value
    # the same configuration with another seed is not as good to the digit, but near
    assert comparison.contenders[1].courses[0].best[0] == pytest.approx(best_of_old, abs=0.2)


@pytest.mark.parametrize(
    ("samplers", "n_seeds", "error", "message"),
    [
        (["random"], 0, UsageError, "`seeds` must be at least 1, got 0"),
        (["random", "magic"], 1, SpecError, "Unknown sampler 'magic'; there are: ga"),
        (["tpe", "tpe"], 1, UsageError, "Sampler 'tpe' is named twice"),
        ([" "], 1, UsageError, "Name at least one sampler"),
        (["meta+tpe"], 1, UsageError, "'meta\\+tpe' needs `warm_start` or `priors`"),
    ],
)
def test_what_cannot_be_compared_is_said(
    samplers: list[str], n_seeds: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        comparison_specs(tiny(), samplers, n_seeds)


def test_studies_of_another_spec_are_not_mixed_in(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    run_comparison(comparison_specs(tiny(), ["random"], 1), storage, device="cpu")
    other = comparison_specs(tiny(trainer={"steps": 5}), ["random"], 1)
    with pytest.raises(StudyMismatchError, match="trainer.steps was 4, now 5"):
        run_comparison(other, storage, device="cpu")


def test_the_command_writes_a_table_and_curves(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("study", "compare-samplers", "small.toml", "--samplers", "random,tpe", "--seeds", "2")
    code, out, err = call(capsys, *args, "--trials", "2", "--set", "objective.seeds=1")
    assert (code, err) == (0, "")
    assert "2 samplers on two_moons, 2 trials, 2 seeds" in out
    assert {path.name for path in (folder / "small_samplers").iterdir()} == {
        "comparison.md",
        "comparison.png",
    }
    report = (folder / "small_samplers" / "comparison.md").read_text()
    assert "| random | " in report and "## Optimal hyperparameters" in report


def test_an_unknown_sampler_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("study", "compare-samplers", "small.toml", "--samplers", "random,magic")
    code, _, err = call(capsys, *args)
    assert code == 2 and "Unknown sampler 'magic'" in err
    assert [path.name for path in folder.iterdir()] == ["small.toml"]


@pytest.mark.slow
def test_a_killed_comparison_goes_on_to_the_one_never_interrupted(folder: Path) -> None:
    args = ("study", "compare-samplers", "small.toml", "--samplers", "random,ga", "--seeds", "2")
    steps = ("--set", "trainer.steps=150")
    run(folder, *args, *steps, "--storage", "sqlite:///w.db", "--out", "whole")
    for end in (signal.SIGINT, signal.SIGKILL):
        worker = start(folder, *args, *steps, "--storage", "sqlite:///k.db", "--out", "killed")
        wait_for_trials(folder / "k.db", 5 if end is signal.SIGINT else 20, worker)
        worker.send_signal(end)
        assert worker.wait() != 0
    assert not (folder / "killed").exists()
    run(folder, *args, *steps, "--storage", "sqlite:///k.db", "--out", "killed")
    names = [f"small/{sampler}/{seed}" for sampler in ("random", "ga") for seed in (0, 1)]
    # a plain Optuna sampler draws anew after a stop; ours go on
    for name in names[2:]:
        assert members(folder / "k.db", name) == members(folder / "w.db", name)
    assert all(len(members(folder / "k.db", name)) == 8 for name in names)

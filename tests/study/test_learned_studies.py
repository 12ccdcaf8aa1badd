"""Studies of learned optimizers, whole: run, gone on with, exported, drawn, in one space."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
import numpy as np
import optuna
import pytest
import torch

from optuna_evo import LearnedOptimizer
from optuna_evo import MetaTrainingConfig
from optuna_evo import TrainingConfig
from optuna_evo.attributes import CONTROLLER
from optuna_evo.cli import cli
from optuna_evo.errors import UsageError
from optuna_evo.export import export_controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import load_controller
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import compare
from optuna_evo.meta_training import held_out_losses
from optuna_evo.meta_training import MetaTraining
from optuna_evo.meta_training import task_seeds
from optuna_evo.spec import load_spec
from optuna_evo.spec import StudySpec
from optuna_evo.study import best_controller
from optuna_evo.study import best_trial
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy
from optuna_evo.study import trace_best


STUDIES = Path(__file__).parents[2] / "studies"
SMALL: dict[str, Any] = {
    "name": "small",
    "tasks": ["quadratics"],
    "task": {"size": 4},
    "direction": "minimize",
    "n_trials": 8,
    "trainer": {"steps": 10},
    "objective": {"name": "meta_loss", "reports": 2, "budget": 1000, "held_out": 8},
    "space": {"name": "learned_optimizer", "kinds": ["mlp", "memory"], "truncation": [5, 10]},
    "sampler": {"name": "random"},
}


def made(**changes: Any) -> StoredStudy:
    spec = StudySpec.from_dict({**SMALL, **changes})
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu")
    return stored


@pytest.fixture(scope="module")
def small() -> StoredStudy:
    return made()


def test_the_best_of_a_search_beats_the_default_on_held_out_tasks(small: StoredStudy) -> None:
    objective: Any = build_objective(small.spec, device="cpu")
    training = MetaTraining(objective.spec(MetaTrainingConfig()))
    for _ in range(training.spec.outer.steps):
        training.step()
    tasks = build_family("quadratics", {"size": 4}).sample(task_seeds("test", 32))

    def losses(controller: Any) -> Any:
        rule = ControllerRule(controller)
        return held_out_losses(rule, tasks, marks=[10], total_steps=10, splits=["test"])["test"][0]

    found = compare(losses(best_controller(small)[1]), losses(training.controller()))
    assert found.is_better and found.geometric_interval[1] < 1


def test_the_best_controller_is_exported_and_trains(small: StoredStudy, tmp_path: Path) -> None:
    trial = export_controller(small, tmp_path / "mine")
    assert trial.number == best_trial(small).number
    loaded, kept = load_controller(tmp_path / "mine"), best_controller(small)[1]
    assert loaded.settings == kept.settings
    assert all(map(torch.equal, loaded.state_dict().values(), kept.state_dict().values()))
    model = torch.nn.Linear(3, 1)
    optimizer = LearnedOptimizer(model.parameters(), tmp_path / "mine", total_steps=5)
    before = model.weight.detach().clone()
    model(torch.ones(2, 3)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)
    with pytest.raises(UsageError, match="not an empty folder"):
        export_controller(small, tmp_path / "mine")


def test_a_study_without_controllers_says_so(tmp_path: Path) -> None:
    genomes = made(n_trials=2, space={"name": "genome", "max_terms": 1})
    with pytest.raises(UsageError, match="is a genome: optuna_evo study export small prints it"):
        export_controller(genomes, tmp_path / "mine")
    spec = StudySpec.from_dict({"name": "other", "tasks": ["two_moons"]})
    other = create_study(spec, optuna.storages.InMemoryStorage())
    with pytest.raises(UsageError, match="meta-trains no controllers"):
        export_controller(other, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_damaged_controller_is_one_line(small: StoredStudy) -> None:
    copied = optuna.create_study(direction="minimize")
    best = best_trial(small)
    attrs = {**best.user_attrs, f"{CONTROLLER.key}:0": "AAAA"}
    copied.add_trial(
        optuna.trial.create_trial(
            value=best.value,
            params=best.params,
            distributions=best.distributions,
            user_attrs=attrs,
        )
    )
    with pytest.raises(UsageError, match="in trial 0 of study 'small' are damaged"):
        best_controller(StoredStudy(small.spec, copied))


def test_a_study_that_was_stopped_goes_on_as_one_that_was_not(small: StoredStudy) -> None:
    sampler = {"name": "ga", "population_size": 4}
    changes = {"sampler": sampler, "n_trials": 3}
    whole = made(**changes)
    spec = StudySpec.from_dict({**SMALL, **changes})
    stopped = create_study(spec, optuna.storages.InMemoryStorage())
    for _ in range(3):
        run_study(stopped, n_more=1, device="cpu")
    assert [t.value for t in stopped.study.trials] == [t.value for t in whole.study.trials]
    key = f"{CONTROLLER.key}:0"
    weights = [[t.user_attrs.get(key) for t in s.study.trials] for s in (whole, stopped)]
    assert weights[0] == weights[1] and any(weights[0])


def test_what_the_best_controller_does_is_traced(small: StoredStudy) -> None:
    found = trace_best(small, n_tasks=2)
    assert found.lr.shape == (10, 1)
    assert found.losses["controller"].shape == (2, 10)
    assert np.isfinite(found.lr).all()


BOTH = {
    "name": "genome_or_learned",
    "rules": ["genome", "learned"],
    "genome": {"max_terms": 2, "lr": [0.01, 1.0], "warmup_steps": [1, 3]},
    "learned": {"kinds": ["mlp"], "truncation": [5, 10]},
}


def test_one_study_holds_genomes_and_learned_ones_and_starts_from_genomes() -> None:
    storage = optuna.storages.InMemoryStorage()
    genomes = {**SMALL, "name": "genomes", "n_trials": 12}
    genomes["space"] = {
        "name": "genome",
        "max_terms": 2,
        "lr": [0.01, 1.0],
        "warmup_steps": [1, 3],
    }
    source = create_study(StudySpec.from_dict(genomes), storage)
    run_study(source, device="cpu")
    spec = {**SMALL, "name": "both", "space": BOTH, "warm_start": ["genomes"], "n_trials": 6}
    stored = create_study(StudySpec.from_dict({**spec, "sampler": {"name": "ga"}}), storage)
    run_study(stored, device="cpu")
    kinds = {type(build_space(stored.spec)(t)) for t in stored.study.trials}
    assert kinds == {TrainingConfig, MetaTrainingConfig}
    assert type(stored.study.sampler).__name__ == "MetaPriorSampler"


def test_genomes_and_trained_controllers_compete_on_the_tasks_of_a_study(
    small: StoredStudy, tmp_path: Path
) -> None:
    export_controller(small, tmp_path / "mine")
    space = {
        "name": "genome_or_learned",
        "rules": ["genome", "controller"],
        "controllers": [str(tmp_path / "mine")],
        "genome": {"max_terms": 1},
    }
    spec = StudySpec.from_dict(
        {
            "name": "tasks",
            "tasks": ["two_moons"],
            "n_trials": 6,
            "space": space,
            "sampler": {"name": "random"},
            "trainer": {"steps": 6},
            "objective": {"seeds": 1},
        }
    )
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu")
    rules = {t.params["rule"] for t in stored.study.trials if t.value is not None}
    assert rules == {"genome", "controller"}


def test_one_space_finds_a_rule_as_good_as_either_alone() -> None:
    # in small: the best of the same trials, put together, is the better one
    n = 3
    alone = {
        rule: made(space={**BOTH, "rules": [rule]}, n_trials=n) for rule in ("genome", "learned")
    }
    storage = optuna.storages.InMemoryStorage()
    both = create_study(StudySpec.from_dict({**SMALL, "space": BOTH, "n_trials": 2 * n}), storage)
    for rule, stored in alone.items():
        for trial in stored.study.trials:
            both.study.enqueue_trial({"rule": rule, **trial.params})
    run_study(both, device="cpu")
    values = [best_trial(stored).value or 0.0 for stored in alone.values()]
    assert best_trial(both).value == min(values)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learned_optimizer_search", "genome_or_learned"])
def test_the_studies_run_in_small(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    sets = "n_trials=3 trainer.steps=10 objective.budget=400 objective.held_out=2".split()
    sets += ["objective.reports=2", "task.width=4"]
    arguments = [part for each in sets for part in ("--set", each)]
    runner, url = CliRunner(), f"sqlite:///{tmp_path}/s.db"
    done = runner.invoke(
        cli, ["study", "run", str(STUDIES / f"{name}.toml"), "--storage", url, *arguments]
    )
    assert done.exit_code == 0, done.output
    out = str(tmp_path / f"{name}.png")
    done = runner.invoke(cli, ["study", "report", name, "--storage", url, "--out", out])
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{name}.png").exists()
    done = runner.invoke(
        cli, ["study", "export", name, "--storage", url, "--controller", str(tmp_path / "mine")]
    )
    if "is a genome" in done.output:
        assert done.exit_code != 0 and not (tmp_path / "mine").exists()
        return
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{name}_controller.png").stat().st_size > 1000
    shown = runner.invoke(
        cli,
        ["optimizer", "show", str(tmp_path / "mine"), "--figure", str(tmp_path / "f.png")],
    )
    assert shown.exit_code == 0, shown.output
    assert "On digits_mlp, 4 held-out tasks, 10 steps:" in shown.output
    assert (tmp_path / "f.png").exists()
    assert json.loads((tmp_path / "mine/controller.json").read_text())["provenance"]["study"]


def test_the_studies_ask_for_what_their_files_say() -> None:
    for name in ("learned_optimizer_search", "genome_or_learned"):
        assert load_spec(STUDIES / f"{name}.toml").objective.name == "meta_loss"

"""The objective "meta_loss": genomes, controllers and meta-trained ones on held-out tasks."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo import catalog
from optuna_evo import ControllerConfig
from optuna_evo import MetaTrainingConfig
from optuna_evo import suggest_learned_optimizer
from optuna_evo import TrainingConfig
from optuna_evo.attributes import CONTROLLER
from optuna_evo.errors import SpecError
from optuna_evo.learned import build
from optuna_evo.learned import save_controller
from optuna_evo.learned import unpacked
from optuna_evo.meta_training import Domain
from optuna_evo.objectives import LossAndCost
from optuna_evo.objectives import MetaLossObjective
from optuna_evo.spec import StudySpec
from optuna_evo.study import check_parts
from optuna_evo.study import create_study
from optuna_evo.study import resolve_spec
from optuna_evo.study import run_study


ADAM = dataclasses.replace(catalog["adam"], lr=0.1)
LEARNED = MetaTrainingConfig(genome=ADAM, pairs=4, truncation=5, lr=0.02, perturbation=0.05)


def objective_of(**changes: Any) -> MetaLossObjective:
    settings: dict[str, Any] = {
        "families": (Domain(name="quadratics", options={"size": 4}),),
        "steps": 10,
        "budget": 2000,
        "reports": 4,
        "held_out": 8,
    }
    return MetaLossObjective(**(settings | changes))


def run_of(objective: MetaLossObjective, *configs: Any) -> tuple[list[list[float]], list[Any]]:
    run = objective.start(list(configs))
    reported = [run.advance() for _ in range(objective.n_reports)]
    return reported, [dict(record) for record in run.records()]


def test_reports_are_of_the_best_state_and_start_at_the_base() -> None:
    objective = objective_of()
    reported, _ = run_of(objective, LEARNED, TrainingConfig(genome=ADAM))
    learned = [values[0] for values in reported]
    assert learned == sorted(learned, reverse=True)
    base = reported[0][1]
    assert [values[1] for values in reported] == [base] * 4
    assert learned[0] == base > learned[-1]  # something was learned
    assert objective.value(learned) == learned[-1]


@pytest.mark.parametrize("estimator", ["pes", "full_es", "truncated_backprop"])
def test_a_trial_costs_what_it_says_within_the_budget(estimator: str) -> None:
    objective = objective_of()
    config = dataclasses.replace(LEARNED, estimator=estimator)
    _, (record,) = run_of(objective, config)
    assert record["inner_steps"] == objective.whole_cost(config)
    assert record["inner_steps"] - 4 * 8 * 10 <= 2000
    genome = TrainingConfig(genome=ADAM)
    assert run_of(objective, genome)[1][0]["inner_steps"] == objective.whole_cost(genome) == 80


def test_what_was_trained_is_recorded_and_measures_the_same() -> None:
    objective = objective_of()
    reported, (record,) = run_of(objective, LEARNED)
    head = record[CONTROLLER.key]
    found = unpacked(head, [record[f"{CONTROLLER.key}:0"]], where="the record")
    assert objective.selection().measure(found) == reported[-1][0]


def test_a_trained_controller_trains_with_its_multiplier(tmp_path: Path) -> None:
    controller = build("mlp", {"genome": ADAM.to_dict()})
    save_controller(controller, tmp_path / "adam")
    name = str(tmp_path / "adam")
    double = dataclasses.replace(ADAM, lr=0.2, use_cosine_decay=True)
    configs = [
        TrainingConfig(optimizer=ControllerConfig(controller=name)),
        TrainingConfig(optimizer=ControllerConfig(controller=name, lr=2.0, cosine=True)),
        TrainingConfig(genome=ADAM),
        TrainingConfig(genome=double),
    ]
    reported, records = run_of(objective_of(reports=1), *configs)
    untrained, doubled, adam, adam_doubled = reported[0]
    assert untrained == adam and doubled == adam_doubled != adam
    assert records[0]["step_cost"] > records[2]["step_cost"] == 0


def test_cost_weighs_as_much_as_it_is_told() -> None:
    (*_, (plain, genome)), records = run_of(
        objective_of(reports=1), LEARNED, TrainingConfig(genome=ADAM)
    )
    (*_, (weighed, same)), _ = run_of(
        objective_of(reports=1, cost_weight=0.5), LEARNED, TrainingConfig(genome=ADAM)
    )
    cost = records[0]["step_cost"]
    assert weighed == pytest.approx(plain * math.sqrt(1 + cost), rel=1e-3)
    assert same == genome


def test_a_meta_training_that_diverges_keeps_its_best_state() -> None:
    wild = dataclasses.replace(LEARNED, lr=1e6, perturbation=1e6)
    reported, _ = run_of(objective_of(), wild, TrainingConfig(genome=ADAM))
    assert reported[-1][0] <= reported[0][1]


def test_nsga_searches_loss_and_cost_apart() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=0)
    )

    def space(trial: Any) -> MetaTrainingConfig:
        return suggest_learned_optimizer(trial, kinds=["mlp", "memory"], truncation=(5, 10))

    study.optimize(LossAndCost(objective_of(budget=300, reports=2), space), n_trials=4)
    assert all(trial.values[1] == trial.user_attrs["step_cost"] for trial in study.trials)
    assert study.best_trials and CONTROLLER.is_in(study.best_trials[0].user_attrs)


SPEC: dict[str, Any] = {
    "name": "small",
    "tasks": ["quadratics"],
    "task": {"quadratics": {"size": 4}},
    "direction": "minimize",
    "n_trials": 8,
    "trainer": {"steps": 10},
    "objective": {"name": "meta_loss", "reports": 4, "budget": 800, "held_out": 8},
    "space": {"name": "learned_optimizer", "kinds": "mlp", "truncation": [5, 10]},
    "sampler": {"name": "random"},
}


def test_a_pruned_trial_costs_less_and_keeps_no_controller() -> None:
    pruner = {"name": "median", "n_startup_trials": 2}
    spec = StudySpec.from_dict({**SPEC, "pruner": pruner})
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu")
    trials = stored.study.get_trials()
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    whole = [t for t in trials if t.state == TrialState.COMPLETE]
    assert pruned and whole
    assert max(t.user_attrs["inner_steps"] for t in pruned) < max(
        t.user_attrs["inner_steps"] for t in whole
    )
    assert not any(CONTROLLER.is_in(t.user_attrs) for t in pruned)
    assert all(CONTROLLER.is_in(t.user_attrs) for t in whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "maximize"}, "is a loss: set direction = .minimize.*LossAndCost"),
        ({"tasks": []}, "`tasks` must name at least one task"),
        ({"tasks": ["cubics"]}, "There is no task family 'cubics'; there are characters"),
        ({"task": {"size": 0}}, "Quadratics need size >= 1"),
        ({"task": {"quadratics": 4}}, "`task.quadratics` must be a table of that family's opt"),
        ({"space": {"name": "training"}}, None),
        ({"space": {"name": "estimator"}}, "takes genomes, controllers and meta-trainings"),
        ({"space": {"name": "learned_optimizer", "kinds": "rnn"}}, "`kinds` must be some of mlp"),
        (
            {"objective": {"name": "meta_loss", "reports": 1}, "pruner": {"name": "median"}},
            "asked between reports",
        ),
        ({"objective": {"name": "meta_loss", "budget": 0}}, "`objective.budget` must be at le"),
        ({"objective": {"name": "meta_loss", "seeds": 3}}, "`objective.seeds` goes with"),
    ],
)
def test_a_spec_that_does_not_fit_is_one_line(
    changes: dict[str, Any], message: str | None
) -> None:
    spec = {**SPEC, **changes}
    if message is None:  # genomes of the catalog with searched learning rates go too
        check_parts(resolve_spec(StudySpec.from_dict(spec)))
        return
    with pytest.raises(ValueError, match=message) as error:
        check_parts(resolve_spec(StudySpec.from_dict(spec)))
    assert "\n" not in str(error.value)
    assert isinstance(error.value, SpecError) or changes.get("task")

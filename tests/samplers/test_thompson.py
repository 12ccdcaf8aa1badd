"""Thompson sampling: what it proposes depends on the study alone, and it learns."""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.testing.pytest_samplers import SingleOnlySamplerTestCase
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers import _thompson
from optuna_evo.samplers import ThompsonSampler
from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._improve import most_promising


MIXED: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "units": IntDistribution(4, 256, log=True),
    "layers": IntDistribution(1, 4),
    "act": CategoricalDistribution(["relu", "tanh", "gelu"]),
}
GRID: dict[str, BaseDistribution] = {
    "a": IntDistribution(0, 2),
    "b": CategoricalDistribution(["x", "y", "z"]),
}


def _mixed_loss(params: dict[str, float]) -> float:
    penalty = {"relu": 0.0, "tanh": 0.5, "gelu": 1.0}[str(params["act"])]
    return abs(params["lr"] - 0.01) ** 0.5 + penalty + 0.1 * params["layers"]


def _run(study: optuna.Study, n: int, space: dict[str, BaseDistribution] = MIXED) -> None:
    for _ in range(n):
        trial = study.ask(space)
        study.tell(trial, _mixed_loss(trial.params))


class TestContract(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: ThompsonSampler(n_startup_trials=4, seed=0)


def test_a_new_sampler_goes_on_where_another_process_stopped() -> None:
    whole = optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=3))
    _run(whole, 16)
    parts = optuna.create_study(study_name="s")
    for _ in range(16):
        parts.sampler = ThompsonSampler(seed=3)
        _run(parts, 1)
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]


def test_another_seed_gives_other_trials() -> None:
    studies = [
        optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=seed)) for seed in (1, 2)
    ]
    for study in studies:
        _run(study, 2)
    assert studies[0].trials[0].params != studies[1].trials[0].params


def test_maximising_the_negative_gives_the_same_trials() -> None:
    down = optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=1))
    up = optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=1), direction="maximize")
    for _ in range(14):
        trials = [down.ask(MIXED), up.ask(MIXED)]
        assert trials[0].params == trials[1].params
        down.tell(trials[0], _mixed_loss(trials[0].params))
        up.tell(trials[1], -_mixed_loss(trials[1].params))


def test_it_finds_the_good_region_of_a_mixed_space() -> None:
    study = optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=0))
    _run(study, 40)
    assert study.best_params["act"] == "relu"
    assert study.best_value < 0.2


def test_improvement_decides_until_there_are_ten_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    climbed: list[int] = []

    def climb(belief: Belief, *args: Any, **settings: Any) -> Any:
        climbed.append(len(belief.units))
        return most_promising(belief, *args, **settings)

    monkeypatch.setattr(_thompson, "most_promising", climb)
    _run(optuna.create_study(sampler=ThompsonSampler(n_startup_trials=5, seed=0)), 13)
    assert climbed == [5, 6, 7, 8, 9]


def test_every_configuration_of_a_grid_is_tried_before_any_is_repeated() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=1, seed=0)
    )
    for _ in range(9):
        trial = study.ask(GRID)
        study.tell(trial, trial.params["a"] + (trial.params["b"] == "y"))
    assert len({tuple(t.params.values()) for t in study.trials}) == 9
    assert study.ask(GRID).params


def test_workers_that_ask_at_the_same_time_get_different_configurations() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=2, seed=0)
    )
    for _ in range(2):
        trial = study.ask(GRID)
        study.tell(trial, float(trial.params["a"]))
    done = {tuple(t.params.values()) for t in study.trials}
    batch = [tuple(study.ask(GRID).params.values()) for _ in range(9 - len(done))]
    assert len(done | set(batch)) == 9


def test_a_failed_configuration_is_not_proposed_again() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=1, seed=0)
    )
    study.tell(study.ask(GRID), 1.0)
    failed = study.ask(GRID)
    study.tell(failed, state=TrialState.FAIL)
    later = [study.ask(GRID).params for _ in range(7)]
    assert study.trials[1].state == TrialState.FAIL
    assert failed.params not in later


def test_failures_drive_it_out_of_the_region_that_fails() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=5, seed=0)
    )
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
    for _ in range(40):
        trial = study.ask(space)
        x = trial.params["x"]
        if x > 0.6:  # not the middle, where the design begins
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1.0 - x)
    late = study.trials[20:]
    assert sum(t.state == TrialState.FAIL for t in late) < 14
    assert study.best_params["x"] > 0.55


def test_a_pruned_trial_is_no_better_than_the_median() -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
    n_pruned = 0
    for seed in range(4):
        study = optuna.create_study(
            study_name="s", sampler=ThompsonSampler(n_startup_trials=5, seed=seed)
        )
        for _ in range(30):
            trial = study.ask(space)
            x = trial.params["x"]
            if x > 0.5:  # looks best at first, and is pruned
                trial.report(-10.0, 0)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, (x - 0.2) ** 2)
        n_pruned += sum(t.state == TrialState.PRUNED for t in study.trials[15:])
        assert min(t.value for t in study.trials if t.state == TrialState.COMPLETE) < 1e-3
    assert n_pruned < 4 * 8


def test_infinite_values_are_learned_from_as_bad_ones() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=5, seed=0)
    )
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
    for _ in range(30):
        trial = study.ask(space)
        x = trial.params["x"]
        study.tell(trial, float("inf") if x > 0.5 else (x - 0.2) ** 2)
    assert study.best_value < 1e-3


def test_branches_of_a_conditional_space_are_modelled_together() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
            return 1.0 + abs(trial.suggest_float("momentum", 0.0, 1.0) - 0.9)
        return abs(trial.suggest_float("beta", 0.0, 1.0) - 0.3)

    study = optuna.create_study(study_name="s", sampler=ThompsonSampler(seed=0))
    study.optimize(objective, n_trials=40)
    assert study.best_params["opt"] == "adam"
    assert study.best_value < 0.02


def test_equal_values_everywhere_do_no_harm() -> None:
    study = optuna.create_study(
        study_name="s", sampler=ThompsonSampler(n_startup_trials=2, seed=0)
    )
    for _ in range(6):
        study.tell(study.ask(MIXED), 1.0)
    assert len({str(t.params) for t in study.trials}) == 6


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_startup_trials": 0}, "`n_startup_trials` must be at least 1"),
        ({"n_candidates": 3}, "`n_candidates` must be at least 10"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_a_wrong_argument_is_named(kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThompsonSampler(**kwargs)

"""Where different configurations give exactly the best value, samplers look elsewhere."""

import math

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import Trial

from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._plateau import MAX_REACH
from optuna_evo.samplers._plateau import off_plateau


X = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}


def off(values: dict[float, float], candidates: list[float]) -> list[float]:
    """Return the candidates that are off the plateau of results at places."""
    study = optuna.create_study()
    for x, value in values.items():
        study.add_trial(create_trial(params={"x": x}, distributions=X, value=value))
    belief = believe(read_history(study), LastResult())
    units = np.array(candidates)[:, None]
    return [candidates[i] for i in off_plateau(belief, units)]


def test_one_best_value_is_no_plateau() -> None:
    assert off({0.5: 0.0, 0.2: 1.0}, [0.5, 0.51]) == [0.5, 0.51]


def test_the_next_step_is_twice_as_wide_as_the_last() -> None:
    values = {0.5: 0.0, 0.51: 0.0, 0.0: 1.0}
    assert off(values, [0.525, 0.535]) == [0.535]
    values[0.535] = 0.0
    assert off(values, [0.57, 0.59]) == [0.59]


def test_what_is_nearer_to_a_worse_result_is_off() -> None:
    values = {0.5: 0.0, 0.54: 0.0, 0.6: 1.0}
    assert off(values, [0.56, 0.58]) == [0.58]


def test_equal_values_far_apart_do_not_shut_out_what_is_between() -> None:
    values = {0.1: 0.0, 0.5: 0.0, 0.9: 1.0}
    beside = 0.5 + 1.1 * MAX_REACH
    assert off(values, [0.3, beside, 0.5 + 0.9 * MAX_REACH]) == [0.3, beside]


def test_all_are_left_where_none_is_off() -> None:
    assert off({0.5: 0.0, 0.52: 0.0}, [0.51, 0.53]) == [0.51, 0.53]


def test_each_branch_of_a_rounded_objective_is_searched() -> None:
    def objective(trial: Trial) -> float:
        name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        x = trial.suggest_float(f"{name}_lr", 1e-5, 1e2, log=True)
        best = {"sgd": (-2.0, 0.1), "adam": (-4.0, 0.0)}[name]
        return best[1] + round(abs(math.log10(x) - best[0]) / 0.4) * 0.05

    for seed in range(4):
        study = optuna.create_study(study_name="s", sampler=HybridSampler(seed=seed))
        study.optimize(objective, n_trials=40)
        assert study.best_value == 0.0

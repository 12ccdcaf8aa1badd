"""A plain objective of Optuna in the loop, and what it draws from."""

import random

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest
import torch

from optuna_evo.attributes import ERROR
from optuna_evo.errors import ObjectiveError
from optuna_evo.errors import StorageError
from optuna_evo.objectives import FunctionObjective
from optuna_evo.objectives import OpenTrial
from optuna_evo.search import _leases as leases
from optuna_evo.search import search


def new_study(name: str = "s") -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(study_name=name, sampler=sampler)


def run(study: optuna.Study, objective: FunctionObjective, n_trials: int) -> None:
    search(study, space=OpenTrial, objective=objective, n_trials=n_trials)


def drawn(trial: optuna.Trial) -> float:
    """Draw from all global generators."""
    trial.set_user_attr("drawn", [random.random(), np.random.random(), torch.rand(1).item()])
    return trial.suggest_float("x", 0, 1)


def draws(study: optuna.Study) -> list[list[float]]:
    return [t.user_attrs["drawn"] for t in study.get_trials() if t.state == TrialState.COMPLETE]


def test_a_function_does_what_it_does_in_study_optimize() -> None:
    def function(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        trial.report(x, 7)
        if x > 0.5:
            raise optuna.TrialPruned
        return x**2

    ours, theirs = new_study(), new_study()
    run(ours, FunctionObjective(function), 20)
    theirs.optimize(function, n_trials=20)
    assert [(t.params, t.state, t.value, t.intermediate_values) for t in ours.get_trials()] == [
        (t.params, t.state, t.value, t.intermediate_values) for t in theirs.get_trials()
    ]
    assert TrialState.PRUNED in {t.state for t in ours.get_trials()}


def test_global_generators_are_seeded_for_each_trial_and_put_back() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first, again, other = new_study(), new_study(), new_study()
    run(first, FunctionObjective(drawn), 3)
    run(again, FunctionObjective(drawn), 3)
    run(other, FunctionObjective(drawn, seed=1), 3)
    assert draws(first) == draws(again)
    assert len({tuple(d) for d in (*draws(first), *draws(other))}) == 6
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after


def test_failed_trials_do_not_change_what_later_ones_draw() -> None:
    def fails_at_first(trial: optuna.Trial) -> float:
        if trial.number == 0:
            raise RuntimeError
        return drawn(trial)

    whole, with_failure = new_study(), new_study()
    run(whole, FunctionObjective(drawn), 3)
    run(with_failure, FunctionObjective(fails_at_first), 3)
    assert draws(with_failure) == draws(whole)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"returned None \(is a `return` missing\?\); return a number"),
        ("1.0", "returned '1.0'; return a number"),
        ({"loss": 1}, "returned {'loss': 1}; return a number"),
        ((1.0, 2.0), "returned 2 values; studies here have one direction: return one number"),
    ],
)
def test_what_is_no_number_is_refused_with_the_place(returned: object, message: str) -> None:
    def function(trial: optuna.Trial) -> object:
        return returned

    objective = FunctionObjective(function)  # type: ignore[arg-type]
    line = function.__code__.co_firstlineno
    with pytest.raises(ObjectiveError, match=f"test_function.py, line {line}: function {message}"):
        objective.call(optuna.trial.FixedTrial({}))


@pytest.mark.parametrize("returned", [1, True, np.float32(1), np.array(1.0), torch.tensor(1.0)])
def test_numbers_of_all_kinds_are_taken(returned: float) -> None:
    objective = FunctionObjective(lambda trial: returned)
    assert objective.call(optuna.trial.FixedTrial({})) == 1.0


def test_the_line_is_the_last_one_in_the_users_file() -> None:
    def function(trial: optuna.Trial) -> float:
        return float(np.linalg.inv(np.zeros((2, 2)))[0, 0])  # raises in numpy

    objective = FunctionObjective(function)
    line = function.__code__.co_firstlineno + 1
    with pytest.raises(ObjectiveError, match=f"line {line}: LinAlgError: Singular matrix"):
        objective.call(optuna.trial.FixedTrial({}))


def test_a_database_that_fails_under_a_function_is_not_the_fault_of_its_trial() -> None:
    study, is_away = new_study(), [True]

    def function(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        if trial.number == 2 and is_away[0]:
            raise StorageError("the database is away")
        return x

    with pytest.raises(StorageError, match="^the database is away$"):
        run(study, FunctionObjective(function), 4)
    is_away[0] = False
    run(study, FunctionObjective(function), 4)
    lost, copy = study.get_trials()[2:4]
    assert lost.state == TrialState.FAIL and not ERROR.is_in(lost.user_attrs)
    assert copy.state == TrialState.COMPLETE and copy.params == lost.params


def test_a_trial_that_is_taken_over_in_a_function_has_not_failed_by_its_own_fault() -> None:
    study = new_study()

    def function(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        if trial.number < 4:  # more often than failures in a row end a search
            leases.release(study, trial.number)
        trial.report(x, 1)
        return x

    run(study, FunctionObjective(function), 1)
    *lost, last = study.get_trials()
    assert len(lost) == 4 and not any(ERROR.is_in(trial.user_attrs) for trial in lost)
    assert last.state == TrialState.COMPLETE and last.params == lost[0].params


def test_what_a_functions_own_study_refuses_is_the_functions_fault() -> None:
    def function(_: optuna.Trial) -> float:
        own = optuna.create_study()
        trial = own.ask()
        own.tell(trial, 1.0)
        trial.report(0.5, 1)
        return 1.0

    with pytest.raises(ObjectiveError, match="UpdateFinishedTrialError"):
        run(new_study(), FunctionObjective(function), 1)

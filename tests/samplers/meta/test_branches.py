"""Branches of a study that it has not tried, as its sources show them."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
import pytest

from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._meta._belief import understand
from optuna_evo.samplers._meta._branches import Branches
from optuna_evo.surrogates import _sources


def branched(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["adam", "sgd"])
    if kind == "adam":
        return abs(trial.suggest_float("adam_lr", 0.0, 1.0) - 0.3)
    return 0.2 + abs(trial.suggest_float("sgd_lr", 0.0, 1.0) - 0.6)


def flat(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["adam", "sgd"])
    lr = trial.suggest_float("adam_lr", 0.0, 1.0) + trial.suggest_float("sgd_lr", 0.0, 1.0)
    return lr + (kind == "sgd")


def source(objective: Any = branched) -> Source:
    study = optuna.create_study(study_name="old", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=40)
    return read_source(study)


def after(*tried: dict[str, Any], objective: Any = branched) -> History:
    study = optuna.create_study(study_name="new")
    for params in tried:
        study.enqueue_trial(params)
    study.optimize(objective, n_trials=len(tried))
    return read_history(study)


@pytest.mark.parametrize("tried", [(), ({"kind": "sgd", "sgd_lr": 0.1},)])
def test_a_branch_that_was_not_tried_is_foreseen(tried: tuple[dict[str, Any], ...]) -> None:
    foreseen = Branches().foresee([source()], after(*tried))
    assert foreseen is not None
    encoding, rules = foreseen
    assert [axis.name for axis in encoding.axes] == ["adam_lr", "kind", "sgd_lr"]
    assert encoding.optional == (True, False, True)
    assert {(rule.child, rule.parent, rule.absent) for rule in rules} == {
        (0, 1, (1.0,)),
        (2, 1, (0.0,)),
    }


def test_a_trial_that_has_a_parameter_elsewhere_contradicts() -> None:
    both = after({"kind": "sgd", "sgd_lr": 0.1, "adam_lr": 0.1}, objective=flat)
    foreseen = Branches().foresee([source()], both)
    assert foreseen is not None and foreseen[0].optional == (False, False, True)


def test_a_study_without_the_choice_has_no_branches() -> None:
    def one(trial: optuna.Trial) -> float:
        return trial.suggest_float("sgd_lr", 0.0, 1.0)

    foreseen = Branches().foresee([source()], after({"sgd_lr": 0.1}, objective=one))
    assert foreseen is not None and [axis.name for axis in foreseen[0].axes] == ["sgd_lr"]


def test_flat_sources_say_nothing_about_branches() -> None:
    foreseen = Branches().foresee([source(flat)], after({"kind": "sgd", "sgd_lr": 0.1}))
    assert foreseen is not None
    assert [axis.name for axis in foreseen[0].axes] == ["kind", "sgd_lr"]
    assert foreseen[1] == () and not any(foreseen[0].optional)


@pytest.mark.parametrize("objective, together", [(flat, 3.0), (branched, 2.0)])
def test_lengths_of_sources_grow_with_what_a_configuration_has(
    monkeypatch: pytest.MonkeyPatch, objective: Any, together: float
) -> None:
    seen: list[Any] = []
    learned = _sources._shared_log_weights

    def shared(sources: Any, groups: Any, active: Any) -> Any:
        seen.append(active)
        return learned(sources, groups, active)

    monkeypatch.setattr(_sources, "_shared_log_weights", shared)
    old = [source(objective)]
    foreseen = Branches().foresee(old, after())
    assert foreseen is not None
    assert understand(old, *foreseen, {}) is not None
    np.testing.assert_array_equal(seen[0], [together] * 3)


def test_a_new_branch_starts_with_what_its_sources_found() -> None:
    old = source()
    for seed in range(5):
        study = optuna.create_study(
            study_name="new", sampler=MetaPriorSampler([old], seed=seed), direction="minimize"
        )
        study.enqueue_trial({"kind": "sgd", "sgd_lr": 0.1})
        study.optimize(branched, n_trials=3)
        assert study.trials[1].params["kind"] == "adam"
        assert abs(study.trials[1].params["adam_lr"] - 0.3) < 0.05


def test_another_range_takes_a_foreseen_value_into_it() -> None:
    def narrow(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("kind", ["adam", "sgd"])
        if kind == "adam":
            return trial.suggest_float("adam_lr", 0.5, 1.0)
        return 1.0 + trial.suggest_int("sgd_lr", 1, 3)

    study = optuna.create_study(study_name="new", sampler=MetaPriorSampler([source()], seed=0))
    study.enqueue_trial({"kind": "sgd", "sgd_lr": 1})
    study.optimize(narrow, n_trials=6)
    assert study.trials[1].params == {"kind": "adam", "adam_lr": 0.5}
    assert isinstance(study.trials[1].distributions["kind"], CategoricalDistribution)

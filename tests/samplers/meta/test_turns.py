"""How many trials the sources have, and when the study is tried without them."""

from collections.abc import Callable
import math

import numpy as np
import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import Trial
import pytest

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers._design import design_value
from optuna_evo.samplers._streams import hash_name
from tests.samplers.meta.old_studies import bowl
from tests.samplers.meta.old_studies import old
from tests.samplers.meta.old_studies import started


MIDDLE = {"lr": 1e-3, "depth": 5}


def proposers(study: Study) -> list[str]:
    return [PROPOSED_BY.read(t.user_attrs) for t in study.trials]


def noisy(center: float, seed: int) -> Callable[[Trial], float]:
    rng, objective = np.random.default_rng(seed), bowl(center)
    return lambda trial: objective(trial) + 0.5 * rng.standard_normal()


def value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def at_middle(study: Study) -> list[int]:
    """Return the numbers of the trials that tried the middle of all ranges."""
    return [
        t.number
        for t in study.trials
        if math.isclose(t.params["lr"], MIDDLE["lr"]) and t.params["depth"] == MIDDLE["depth"]
    ]


def test_each_of_the_sources_that_no_model_explains_has_one_tried() -> None:
    sources = [old(str(i), noisy(1e-3, i)) for i in range(4)]
    study = started(MetaPriorSampler(sources, seed=0), bowl(1e-3), 4)
    assert proposers(study) == ["portfolio"] * 4
    best = {s.study_name: [t.params for t in sorted(s.trials, key=value)[:5]] for s in sources}
    assert all(any(t.params in best[name] for t in study.trials) for name in best)


def test_sources_that_models_explain_have_two_tried() -> None:
    sources = [old(str(i), bowl(1e-3)) for i in range(4)]
    study = started(MetaPriorSampler(sources, seed=0), bowl(1e-3), 3)
    assert proposers(study) == ["portfolio", "portfolio", "prior"]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_fifth_trial_is_a_control_between_the_middle_and_the_best(sign: float) -> None:
    source = old(objective=lambda trial: sign * bowl(1e-3)(trial))
    study = started(MetaPriorSampler([source], seed=0), bowl(1e-4), 10)
    control = proposers(study).index("base")
    assert control <= 4  # the first turn without sources may come before
    best = min(study.trials[:control], key=value).params
    lr = math.exp(0.75 * math.log(MIDDLE["lr"]) + 0.25 * math.log(best["lr"]))
    assert study.trials[control].params["lr"] == pytest.approx(lr)
    assert min(best["depth"], 4) <= study.trials[control].params["depth"] <= max(best["depth"], 5)


def test_a_control_of_categories_is_what_the_design_begins_with() -> None:
    def kinds(trial: Trial) -> float:
        return sum("abc".index(trial.suggest_categorical(f"k{i}", "abc")) for i in range(4))

    study = started(MetaPriorSampler([old(objective=kinds)], seed=0), kinds, 6)
    control = proposers(study).index("base")
    assert control <= 4
    key = (0, hash_name(study.study_name))
    first = {n: design_value(key, 0, n, d, {}) for n, d in study.trials[0].distributions.items()}
    assert study.trials[control].params == first


def test_equal_results_say_nothing_and_end_the_portfolio() -> None:
    sources = [old(str(i), noisy(1e-3, i)) for i in range(4)]

    def plateau(trial: Trial) -> float:
        bowl(1e-3)(trial)
        return 1.0

    study = started(MetaPriorSampler(sources, seed=0), plateau, 6)
    assert proposers(study) == ["portfolio"] * 2 + ["base"] * 4
    assert at_middle(study) == [2]


def test_a_middle_that_failed_is_not_tried_again() -> None:
    study = optuna.create_study(sampler=MetaPriorSampler([old()], seed=0))

    def fails_there(trial: Trial) -> float:
        value = bowl(1e-3)(trial)
        return math.nan if trial.number == 2 else 1.0 + 0.0 * value

    study.optimize(fails_there, n_trials=8)
    assert at_middle(study) == [2]


def test_where_a_user_has_a_belief_the_middle_is_not_forced() -> None:
    priors = {"lr": {"center": 1e-5, "spread": 1.5}}
    source = old(objective=lambda trial: -bowl(1e-3)(trial))
    study = started(MetaPriorSampler([source], priors=priors, seed=0), bowl(1e-3), 8)
    assert at_middle(study) == [] and "base" not in proposers(study)

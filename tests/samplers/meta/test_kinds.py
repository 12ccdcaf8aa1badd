"""Sources whose parameters are of another kind: what does not convert counts as missing."""

from collections.abc import Callable
import itertools
import math
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.surrogates import SpaceEncoding


KINDS: dict[str, Callable[[optuna.Trial], Any]] = {
    "mixed": lambda t: t.suggest_categorical("gamma", ["scale", "auto", 0.1]),
    "log float": lambda t: t.suggest_float("gamma", 1e-5, 1, log=True),
    "float": lambda t: t.suggest_float("gamma", -1, 1),
    "int": lambda t: t.suggest_int("gamma", 0, 10),
    "log int": lambda t: t.suggest_int("gamma", 1, 100, log=True),
    "flags": lambda t: t.suggest_categorical("gamma", [True, False]),
    "written flags": lambda t: t.suggest_categorical("gamma", ["True", "False"]),
    "written numbers": lambda t: t.suggest_categorical("gamma", ["0.1", "1", "10"]),
    "numbers": lambda t: t.suggest_categorical("gamma", [0, 1, 10]),
    "none": lambda t: t.suggest_categorical("gamma", [None, 1, 0.5]),
    "odd floats": lambda t: t.suggest_categorical("gamma", [math.nan, math.inf, 1.0]),
    "another name": lambda t: t.suggest_float("coef0", 0, 1),
}


def objective(kind: str, shares_x: bool) -> Callable[[optuna.Trial], float]:
    def run(trial: optuna.Trial) -> float:
        value = KINDS[kind](trial)
        x = trial.suggest_float("x", 0, 1) if shares_x else 0.0
        return x + len(str(value))

    return run


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize("old, new", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("base", [None, "ga"])
def test_a_study_starts_from_a_source_of_any_other_kind(
    old: str, new: str, base: str | None
) -> None:
    for shares_x in (True, False):
        source = optuna.create_study(study_name="old", sampler=optuna.samplers.RandomSampler(0))
        source.optimize(objective(old, shares_x), n_trials=8)
        sampler = MetaPriorSampler(
            [source], base=GASampler(population_size=2, seed=0) if base else None, seed=0
        )
        study = optuna.create_study(study_name="new", sampler=sampler)
        study.optimize(objective(new, shares_x), n_trials=5)
        assert len(study.trials) == 5  # none has failed
        assert 0 <= sampler.source_weights(study)["old"] <= 1


MISSING = math.nan
LOG = FloatDistribution(1e-4, 1.0, log=True)


@pytest.mark.parametrize(
    "values, distribution, expected",
    [
        (["scale", "auto", 0.01], LOG, [MISSING, MISSING, 0.5]),
        (["0.01", "1"], LOG, [MISSING, MISSING]),  # a written number is a category
        ([True, False, 5], IntDistribution(0, 10), [MISSING, MISSING, 0.5]),
        ([None, [1, 2], math.nan, math.inf], LOG, [MISSING] * 4),
        ([10**400, 5], IntDistribution(0, 10), [MISSING, 0.5]),
        ([5.0, 2.5], IntDistribution(0, 10), [0.5, 0.25]),
        ([np.float64(0.01), np.int64(1), np.bool_(True)], LOG, [0.5, 1.0, MISSING]),
        ([0.5, 1, "rbf"], CategoricalDistribution(["rbf", 1, 0.5]), [2.0, 1.0, 0.0]),
        ([1.0, "1", True, None], CategoricalDistribution([1, 2]), [0.0] + [MISSING] * 3),
        ([1, 0, 1.0, "True"], CategoricalDistribution([True, False]), [MISSING] * 4),
        ([True, False], CategoricalDistribution(["True", "False"]), [MISSING] * 2),
        ([False, True], CategoricalDistribution([True, False]), [1.0, 0.0]),
        ([math.nan, None], CategoricalDistribution([None, math.nan]), [1.0, 0.0]),
    ],
)
def test_values_convert_by_kind_or_count_as_missing(
    values: list[Any], distribution: Any, expected: list[float]
) -> None:
    encoding = SpaceEncoding({"gamma": distribution})
    units = encoding.units([{"gamma": value} for value in values])[:, 0]
    np.testing.assert_allclose(units, expected)


def test_the_values_of_a_source_that_do_convert_are_learned_from() -> None:
    source = optuna.create_study(study_name="old", sampler=optuna.samplers.RandomSampler(0))

    def old(trial: optuna.Trial) -> float:
        gamma = trial.suggest_categorical("gamma", ["scale", "auto", 0.1, 0.01, 1e-3, 1e-4])
        return 9.0 if isinstance(gamma, str) else abs(math.log10(gamma) + 2)

    source.optimize(old, n_trials=40)
    sampler = MetaPriorSampler([source], seed=0)
    study = optuna.create_study(study_name="new", sampler=sampler)
    space: dict[str, Any] = {"gamma": FloatDistribution(1e-5, 1.0, log=True)}
    study.tell(study.ask(space), 1.0)
    assert study.ask(space).params["gamma"] == pytest.approx(0.01, rel=1e-6)

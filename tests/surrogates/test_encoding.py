"""Any Optuna space becomes vectors and comes back."""

import math
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import SpaceEncoding


SPACE: dict[str, BaseDistribution] = {
    "float": FloatDistribution(-2.0, 5.0),
    "log": FloatDistribution(1e-6, 1e2, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.1),
    "int": IntDistribution(3, 300),
    "even": IntDistribution(2, 20, step=2),
    "logint": IntDistribution(1, 4096, log=True),
    "act": CategoricalDistribution(["relu", None, True, 3]),
    "single": IntDistribution(7, 7),
}


def _random(n: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask(SPACE).params for _ in range(n)]


def test_a_configuration_survives_the_way_to_units_and_back() -> None:
    encoding = SpaceEncoding(SPACE)
    for params in _random(100):
        back = encoding.values(encoding.units([params])[0])
        assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in params.items()}
        assert back.pop("act") is params.pop("act")
        assert back == pytest.approx(params, rel=1e-9, abs=1e-12)


def test_random_units_are_values_of_the_space() -> None:
    encoding = SpaceEncoding(SPACE)
    for row in encoding.uniform(200, np.random.default_rng(0)):
        for name, value in encoding.values(row).items():
            assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))


def test_random_units_stay_where_they_are_when_encoded_again() -> None:
    encoding = SpaceEncoding({n: d for n, d in SPACE.items() if n != "single"})
    units = encoding.uniform(100, np.random.default_rng(0))
    again = encoding.units([encoding.values(row) for row in units])
    np.testing.assert_allclose(again, units, atol=1e-9)


def test_two_different_choices_are_at_distance_one() -> None:
    encoding = SpaceEncoding({"act": CategoricalDistribution(["a", "b", "c"])})
    features = encoding.features(np.array([[0.0], [1.0], [2.0]]))
    distances = np.linalg.norm(features[:, None] - features, axis=-1)
    np.testing.assert_allclose(distances, 1.0 - np.eye(3), atol=1e-12)


def test_a_missing_parameter_is_flagged_and_has_no_value() -> None:
    encoding = SpaceEncoding({"x": FloatDistribution(0, 1)}, optional=["x"])
    units = encoding.units([{"x": 0.5}, {}])
    np.testing.assert_array_equal(encoding.features(units), [[0.0, 1.0], [0.0, 0.0]])
    assert encoding.values(units[1]) == {}
    assert list(encoding.groups) == [0, 0]


def test_old_values_outside_a_new_range_stay_near_it() -> None:
    encoding = SpaceEncoding({"x": FloatDistribution(0.0, 1.0)})
    units = encoding.units([{"x": -100.0}, {"x": 100.0}])
    assert units.min() >= -1.0
    assert units.max() <= 2.0
    assert encoding.values(units[1]) == {"x": 1.0}


def test_a_choice_that_is_no_more_counts_as_missing() -> None:
    encoding = SpaceEncoding({"act": CategoricalDistribution(["a", "b"])})
    assert math.isnan(encoding.units([{"act": "gone"}])[0, 0])


def test_a_grid_lists_every_configuration_once() -> None:
    space: dict[str, BaseDistribution] = {
        "a": IntDistribution(1, 8, log=True),
        "b": FloatDistribution(0, 1, step=0.25),
        "c": CategoricalDistribution("xyz"),
    }
    encoding = SpaceEncoding(space)
    configurations = {tuple(encoding.values(row).values()) for row in encoding.grid()}
    assert len(configurations) == encoding.n_configurations == 8 * 5 * 3


def test_a_category_foretells_which_parameters_are_there() -> None:
    space: dict[str, BaseDistribution] = {
        "opt": CategoricalDistribution(["sgd", "adam", "lion"]),
        "momentum": FloatDistribution(0, 1),
        "nesterov": FloatDistribution(0, 1),
    }
    seen = [{"opt": "sgd", "momentum": 0.1, "nesterov": 0.5}, {"opt": "adam"}] * 3
    encoding = SpaceEncoding(space, optional=["momentum", "nesterov"])
    rules = learn_rules(encoding.units(seen))
    masked = deactivate(np.array([[0.0, 0.5, 0.5], [1.0, 0.5, 0.5], [2.0, 0.5, 0.5]]), rules)
    np.testing.assert_array_equal(np.isnan(masked[:, 1]), [False, True, False])
    np.testing.assert_array_equal(np.isnan(masked[:, 2]), [False, True, False])


def test_a_rule_reaches_through_a_parameter_that_is_itself_conditional() -> None:
    nan = math.nan
    units = np.array([[0.0, nan, nan], [1.0, 0.0, nan], [1.0, 1.0, 0.3]] * 2)
    masked = deactivate(np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.5]]), learn_rules(units))
    np.testing.assert_array_equal(np.isnan(masked), [[False, True, True], [False] * 3])


def test_a_number_that_was_never_the_same_twice_is_no_reason() -> None:
    space: dict[str, BaseDistribution] = {
        "adam_lr": FloatDistribution(0.0, 1.0),
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "sgd_lr": FloatDistribution(0.0, 1.0),
    }
    seen = [
        {"optimizer": name, f"{name}_lr": lr} for name in ("adam", "sgd") for lr in (0.2, 0.5, 0.7)
    ]
    encoding = SpaceEncoding(space, optional=("adam_lr", "sgd_lr"))
    masked = deactivate(np.array([[0.3, 0.0, 0.3]]), learn_rules(encoding.units(seen)))
    np.testing.assert_array_equal(np.isnan(masked), [[False, False, True]])

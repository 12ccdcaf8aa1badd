"""Optuna's own contract suites; add a constructor to the list and it is held to them."""

from collections.abc import Callable
from functools import partial

from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.testing.pytest_samplers import SingleOnlySamplerTestCase
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import RecurrenceSampler


SAMPLERS = [
    pytest.param(partial(GASampler, population_size=2, n_generations=3, seed=0), id="GA-2"),
    pytest.param(partial(GASampler, population_size=8), id="GA-8-unseeded"),
    pytest.param(
        partial(GASampler, population_size=4, reevaluate_elites=True, seed=1),
        id="GA-4-reevaluated",
    ),
    pytest.param(
        partial(GASampler, operators="adaptive", population_size=4, n_startup_trials=4),
        id="GA-4-adaptive-unseeded",
    ),
    pytest.param(partial(RecurrenceSampler, population_size=3, seed=0), id="Recurrence-3"),
    pytest.param(RecurrenceSampler.plain, id="Recurrence-plain"),
    pytest.param(RecurrenceSampler.published, id="Recurrence-published-unseeded"),
]


class SamplerFixture:
    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return request.param


class TestBasic(SamplerFixture, BasicSamplerTestCase):
    pass


class TestSingleOnly(SamplerFixture, SingleOnlySamplerTestCase):
    pass

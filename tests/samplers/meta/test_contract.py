"""Optuna's contract suites for `MetaPriorSampler`, with and without sources and bases."""

from collections.abc import Callable
from functools import cache
from functools import partial

import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.testing.pytest_samplers import RelativeSamplerTestCase
from optuna.testing.pytest_samplers import SingleOnlySamplerTestCase
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source


@cache
def source() -> Source:
    study = optuna.create_study(study_name="old", sampler=TPESampler(seed=0))
    for _ in range(12):
        trial = study.ask()
        x, y = trial.suggest_float("x", -10, 10), trial.suggest_int("y", 0, 10)
        study.tell(trial, x * x + y)
    return read_source(study)


def with_source(**settings: object) -> MetaPriorSampler:
    return MetaPriorSampler([source()], **settings)  # type: ignore[arg-type]


def with_base(make: Callable[[], BaseSampler]) -> MetaPriorSampler:
    return with_source(base=make(), seed=0)


SAMPLERS = [
    pytest.param(partial(MetaPriorSampler, seed=0), id="cold"),
    pytest.param(partial(with_source, seed=0), id="source"),
    pytest.param(partial(with_base, partial(TPESampler, seed=0)), id="TPE"),
    pytest.param(partial(with_base, partial(GASampler, population_size=2)), id="GA"),
]


class SamplerFixture:
    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return request.param


class TestBasic(SamplerFixture, BasicSamplerTestCase):
    pass


class TestRelative(RelativeSamplerTestCase):
    # without a base, which may leave the start of a study to independent sampling
    @pytest.fixture(params=SAMPLERS[:2])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return request.param


class TestSingleOnly(SamplerFixture, SingleOnlySamplerTestCase):
    pass

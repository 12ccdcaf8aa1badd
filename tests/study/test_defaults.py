"""A stored spec holds the options that were given: the others must stay what they were."""

import inspect
from typing import Any

import pytest

import optuna_evo


DEFAULTS: dict[str, dict[str, Any]] = {
    "GASampler": {"n_elites": 3, "lists": "auto", "reevaluate_elites": False},
    # 10 startup trials before designs took the place of random ones; see the changelog
    "ThompsonSampler": {"n_startup_trials": 5, "n_candidates": 675},
    "HybridSampler": {
        "population_size": 10,
        "n_generations": 3,
        "tournament_size": 4,
        "n_elites": 3,
        "n_offspring": 50,
        "crossover_prob": 0.9,
        "mutation_prob": 0.35,
        "mutation_scale": 1.0,
        "flag_prob": 0.25,
        "min_correlation": 0.5,
    },
    "RecurrenceSampler": {
        "population_size": 8,
        "retention": 0.5,
        "temperature": 1.0,
        "cooling": None,  # 0.98, and where it is given, annealing goes by it
        "anneal": (),
        "noise": 0.05,
        "mutation_prob": 1.0,
        "momentum": 0.5,
        "exploit_quantile": 0.25,
        "n_rival_segments": 4,
        "tolerance": 3.0,
        "rule": "recurrence",
        "rivalry": None,  # as it was when the study began, see its attributes
        "annealing": None,
    },
    "FlatnessPruner": {
        "window": 10,
        "tolerance": 0.0015,
        "patience": 5,
        "smoothing": 0.5,
        "n_warmup_steps": 0,
    },
    "DivergencePruner": {"factor": 10.0, "n_warmup_steps": 0},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_those_that_stored_studies_were_made_with(name: str) -> None:
    parameters = inspect.signature(getattr(optuna_evo, name)).parameters
    assert DEFAULTS[name].items() <= {key: p.default for key, p in parameters.items()}.items()


def test_what_a_genetic_sampler_leaves_open_is_what_it_was() -> None:
    (way, *_) = optuna_evo.GASampler()._ways
    assert (way.operators, way.population_size, way.n_startup_trials) == ("annealed", 50, 50)
    assert (way.n_generations, way.tournament_size, way.n_elites) == (50, 4, 3)
    rates = way.rates
    assert (rates.crossover, rates.number, rates.scale) == (0.9, 0.35, 0.3)
    assert (rates.structure, rates.flag) == (0.15, 0.1)

"""The spaces of learned optimizers: what they make can be built, what they ask is read."""

import functools
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import FixedTrial
import pytest

from optuna_evo import MetaTrainingConfig
from optuna_evo import suggest_learned_optimizer
from optuna_evo import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.learned import build
from optuna_evo.spaces import genome_or_learned_space
from optuna_evo.spaces import learned_optimizer_space
from optuna_evo.spaces import suggest_genome
from optuna_evo.spaces._learned import KINDS


def drawn(seed: int, **options: Any) -> tuple[optuna.Trial, MetaTrainingConfig]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    return trial, suggest_learned_optimizer(trial, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_draw_makes_a_controller(kind: str) -> None:
    for seed in range(3):
        _, config = drawn(seed, kinds=kind)
        built = build(config.kind, {**config.settings, "genome": config.genome.to_dict()})
        assert built.genome == config.genome
        assert MetaTrainingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_for_is_read(kind: str) -> None:
    known = every_parameter()
    for seed in range(2):
        trial, config = drawn(seed, kinds=[kind, "mlp"] if kind != "mlp" else ["mlp", "graph"])
        for name, distribution in trial.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                others = [c for c in distribution.choices if c != trial.params[name]]
            else:
                assert isinstance(distribution, FloatDistribution | IntDistribution)
                others = [v for v in (distribution.low, distribution.high)]
                others = [v for v in others if v != trial.params[name]]
            changed = {**known, **trial.params, name: others[0]}
            kinds = trial.distributions["kind"].choices  # type: ignore[attr-defined]
            other = suggest_learned_optimizer(FixedTrial(changed), kinds=kinds)
            assert other.fingerprint() != config.fingerprint(), name


@functools.cache
def every_parameter() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in KINDS:
        for seed in range(4):
            found |= drawn(seed, kinds=kind)[0].params
    return found


def test_ranges_that_are_off_and_single_choices_are_not_asked() -> None:
    names = "hidden_size num_layers activations mixes base_lr schedules pairs truncation outer_lr"
    off: dict[str, Any] = dict.fromkeys([*names.split(), "perturbation", "time_features"], False)
    trial, config = drawn(0, kinds="mlp", bases="adam", estimators="pes", **off)
    assert trial.params == {}
    assert config == MetaTrainingConfig()
    assert learned_optimizer_space(trial, kinds="mlp", bases="adam", estimators="pes", **off)


@pytest.mark.parametrize(
    "options", [{"kinds": "rnn"}, {"bases": ["adamant"]}, {"schedules": "up"}]
)
def test_unknown_names_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`\w+` must be some of "):
        drawn(0, **options)


def test_a_configuration_out_of_range_is_one_line() -> None:
    with pytest.raises(UsageError, match="`estimator` must be one of pes, full_es"):
        MetaTrainingConfig(estimator="adjoint")
    with pytest.raises(UsageError, match="`pairs` must be greater than 0, got 0"):
        MetaTrainingConfig(pairs=0)


def test_one_space_holds_genomes_and_learned_ones() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    kinds = {type(genome_or_learned_space(study.ask())) for _ in range(12)}
    assert kinds == {TrainingConfig, MetaTrainingConfig}


def test_genomes_have_the_parameters_that_they_have_alone() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    genome = suggest_genome(trial, max_terms=2, lr=(1e-3, 1.0))
    fixed = FixedTrial({"rule": "genome", **trial.params})
    options = {"max_terms": 2, "lr": [1e-3, 1.0]}  # lists, as TOML has them
    found = genome_or_learned_space(fixed, rules=["genome", "learned"], genome=options)
    assert isinstance(found, TrainingConfig) and found.genome == genome


def test_controllers_need_a_name() -> None:
    with pytest.raises(ValueError, match='`rules` of "controller" needs `controllers`'):
        genome_or_learned_space(FixedTrial({}), rules=["controller"])

"""The genome space asks for what a genome reads and no more, within the stated ranges."""

import dataclasses
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import FixedTrial
import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import genome_params
from optuna_evo import suggest_genome
from optuna_evo import TermType
from optuna_evo.spaces import genome_space
from optuna_evo.spaces import language_model_space


BOOLEAN = CategoricalDistribution((False, True))
RANGES: dict[str, BaseDistribution] = {
    "n_terms": IntDistribution(1, 4),
    **{
        f"term_{i}": CategoricalDistribution(
            (
                "GRAD",
                "MOMENTUM",
                "RMS_NORM",
                "ADAM_TERM",
                "SIGN_GRAD",
                "SQRT_GRAD",
                "NESTEROV",
            )
        )
        for i in range(4)
    },
    **{f"alpha_{i}": FloatDistribution(-5, 5) for i in range(4)},
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "beta1": FloatDistribution(0, 0.999),
    "beta2": FloatDistribution(0, 0.9999),
    "eps": FloatDistribution(1e-10, 1e-4, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "use_m": BOOLEAN,
    "use_v": BOOLEAN,
    "use_bias_correction": BOOLEAN,
    "use_gradient_clipping": BOOLEAN,
    "clip_value": FloatDistribution(0.5, 2),
    "use_warmup": BOOLEAN,
    "warmup_steps": IntDistribution(50, 200),
    "use_cosine_decay": BOOLEAN,
}
# a parameter that is asked is read: another value of it is another update
OTHER_VALUES = {
    "lr": 0.0123,
    "weight_decay": 0.00123,
    "beta1": 0.123,
    "beta2": 0.123,
    "eps": 1.23e-7,
    "clip_value": 1.23,
    "warmup_steps": 123,
}


ALL_TERMS = tuple(TermType.__members__)


def suggest(trial: optuna.trial.BaseTrial) -> Genome:
    """Suggest a genome of the terms that the trial's own distributions have, or of all."""
    choices = getattr(trial.distributions.get("term_0"), "choices", ALL_TERMS)
    return suggest_genome(trial, horizon=500, term_types=choices)


@pytest.fixture(scope="module", params=["default terms", "all terms"])
def random_trials(
    request: pytest.FixtureRequest,
) -> list[tuple[optuna.trial.FrozenTrial, Genome]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    genomes = []
    for _ in range(200):
        trial = study.ask()
        all_terms = {"term_types": ALL_TERMS} if request.param == "all terms" else {}
        genomes.append(suggest_genome(trial, horizon=500, **all_terms))
        study.tell(trial, 0.0)
    return list(zip(study.get_trials(deepcopy=False), genomes, strict=True))


Trials = list[tuple[optuna.trial.FrozenTrial, Genome]]


def test_parameters_of_a_genome_give_the_same_genome(random_trials: Trials) -> None:
    for _, genome in random_trials:
        again = suggest(FixedTrial(genome_params(genome)))
        assert again == genome


def test_a_finished_trial_gives_its_genome_again(random_trials: Trials) -> None:
    for trial, genome in random_trials:
        assert suggest(trial) == genome


def test_parameters_of_a_genome_hold_all_that_its_trial_asked(random_trials: Trials) -> None:
    for trial, genome in random_trials:
        assert trial.params.items() <= genome_params(genome).items()


def test_ranges_are_the_stated_ones_and_all_are_used(random_trials: Trials) -> None:
    seen: dict[str, BaseDistribution] = {}
    for trial, _ in random_trials:
        seen |= trial.distributions
    choices = seen["term_0"].choices  # type: ignore[attr-defined]
    terms = {f"term_{i}": CategoricalDistribution(choices) for i in range(4)}
    assert seen == RANGES | terms
    assert choices in (RANGES["term_0"].choices, ALL_TERMS)  # type: ignore[attr-defined]


def test_the_terms_to_choose_from_stay_those_that_stored_studies_have() -> None:
    trial = optuna.create_study().ask()
    suggest_genome(trial)
    assert trial.distributions["term_0"] == RANGES["term_0"]


def test_a_scalar_that_is_asked_is_read(random_trials: Trials) -> None:
    for trial, genome in random_trials:
        for name in OTHER_VALUES.keys() & trial.params.keys():
            other = trial.params | {name: OTHER_VALUES[name]}
            changed = suggest(FixedTrial(other))
            same = other == trial.params
            assert (changed.fingerprint() == genome.fingerprint()) == same, name


def test_a_scalar_that_is_not_asked_is_not_read(random_trials: Trials) -> None:
    for trial, genome in random_trials:
        for name in OTHER_VALUES.keys() - trial.params.keys():
            data = genome.to_dict() | {name: OTHER_VALUES[name]}
            assert Genome.from_dict(data).fingerprint() == genome.fingerprint(), name


def asked(**params: Any) -> set[str]:
    """Return the names that a trial with these parameters and defaults for others asks for."""
    defaults = genome_params(catalog["published_2025"])
    study = optuna.create_study()
    study.enqueue_trial(defaults | {"n_terms": 1, "term_0": "GRAD"} | params)
    trial = study.ask()
    suggest_genome(trial)
    return set(trial.params)


def test_only_as_many_terms_are_asked_as_there_are() -> None:
    assert {"term_1", "alpha_1"}.isdisjoint(asked(n_terms=1))
    assert {"term_1", "alpha_1"} <= asked(n_terms=2)


@pytest.mark.parametrize(
    ("name", "with_it", "without_it"),
    [
        ("clip_value", {"use_gradient_clipping": True}, {"use_gradient_clipping": False}),
        ("warmup_steps", {"use_warmup": True}, {"use_warmup": False}),
        ("use_m", {"term_0": "NESTEROV"}, {"term_0": "RMS_NORM"}),
        ("beta1", {"term_0": "ADAM_TERM"}, {"term_0": "ADAM_TERM", "use_m": False}),
        ("beta1", {"term_0": "MOMENTUM"}, {"term_0": "RMS_NORM"}),
        ("use_v", {"term_0": "RMS_NORM"}, {"term_0": "MOMENTUM"}),
        ("beta2", {"term_0": "RMS_NORM"}, {"term_0": "RMS_NORM", "use_v": False}),
        ("eps", {"term_0": "SQRT_GRAD"}, {"term_0": "SIGN_GRAD"}),
        ("use_bias_correction", {"term_0": "MOMENTUM"}, {"term_0": "MOMENTUM", "use_m": False}),
        ("use_gradient_clipping", {"term_0": "GRAD"}, {"term_0": "SIGN_GRAD"}),
    ],
)
def test_the_space_is_conditional(
    name: str, with_it: dict[str, Any], without_it: dict[str, Any]
) -> None:
    assert name in asked(**with_it)
    assert name not in asked(**without_it)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "published_2025"])
def test_a_catalog_genome_can_be_enqueued_and_is_its_update_again(name: str) -> None:
    genome = catalog[name]
    study = optuna.create_study()
    study.enqueue_trial(genome_params(genome))
    again = suggest_genome(study.ask(), horizon=genome.horizon)
    data = genome.to_dict() | {"weight_decay": genome.weight_decay or 1e-6}
    assert again.fingerprint() == Genome.from_dict(data).fingerprint()


def test_a_genome_out_of_range_is_kept_with_a_warning_of_optuna() -> None:
    study = optuna.create_study()
    study.enqueue_trial(genome_params(catalog["momentum"]))
    with pytest.warns(UserWarning, match="out of range"):
        genome = suggest_genome(study.ask())
    assert genome.terms == catalog["momentum"].terms


def test_nesterov_of_the_published_format_is_the_same_update_in_the_space() -> None:
    data = {"term_types": [6, 3], "alphas": [2.0, 1.0], "beta1": 0.8, "weight_decay": 1e-4}
    genome = Genome.from_dict(data)
    again = suggest_genome(FixedTrial(genome_params(genome)))
    assert again.fingerprint() == genome.fingerprint()


def test_ranges_and_term_types_can_be_chosen() -> None:
    study = optuna.create_study()
    trial = study.ask()
    config = genome_space(
        trial, horizon=100, max_terms=1, term_types=["GRAD"], lr=[1e-2, 2e-2], alpha=[1, 1]
    )
    assert config.genome.terms == catalog["sgd"].terms
    assert trial.distributions["lr"] == FloatDistribution(1e-2, 2e-2, log=True)
    assert config.genome.horizon == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_terms": 0}, "`max_terms` must be at least 1, got 0"),
        ({"term_types": ("GRAD", "ADAM")}, "Unknown term types \\['ADAM'\\]; allowed: \\['GRAD'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suggest_genome(optuna.create_study().ask(), **options)


def test_the_language_model_space_sets_what_has_a_range() -> None:
    trial = optuna.trial.FixedTrial({"lr": 1e-3, "clip_norm": 2.0, "batch_size": 8})
    off: dict[str, Any] = dict.fromkeys(
        ("beta1", "beta2", "weight_decay", "warmup_steps", "dropout", "sparsity"), ()
    )
    config = language_model_space(trial, batch_size=(4, 16), **off)
    assert (config.genome.lr, config.clip_norm, config.batch_size) == (1e-3, 2.0, 8)
    assert config.genome == dataclasses.replace(catalog["adamw"], lr=1e-3)
    assert (config.sparsity, config.model) == (0.0, {})


def test_the_language_model_space_can_be_searched_whole() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    config = language_model_space(trial)
    assert config.genome.use_warmup and config.clip_norm and config.sparsity
    assert set(trial.params) >= {"lr", "beta1", "beta2", "weight_decay", "dropout"}


@pytest.mark.parametrize("name", ["training", "language_model", "genome", "grid"])
def test_a_weight_decay_that_may_be_zero_has_a_linear_scale(name: str) -> None:
    from optuna_evo import grid_space
    from optuna_evo import training_space

    study = optuna.create_study()
    for low, is_log in ((0.0, False), (1e-4, True)):
        trial, decay = study.ask(), (low, 0.1)
        if name == "training":
            training_space(trial, weight_decay=decay)
        elif name == "language_model":
            language_model_space(trial, weight_decay=decay)
        elif name == "genome":
            suggest_genome(trial, weight_decay=decay)
        else:
            grid_space(trial, lr=[1e-3, 1e-2], weight_decay=decay, continuous=True)
        assert trial.distributions["weight_decay"].log is is_log  # type: ignore[attr-defined]
        study = optuna.create_study()  # a name keeps its distribution within a study

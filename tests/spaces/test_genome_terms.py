"""Spaces of genomes with all elementwise terms, or all terms, and what a genome is in them."""

import dataclasses
import json

import optuna
from optuna.trial import FixedTrial
import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import genome_params
from optuna_evo import suggest_genome
from optuna_evo import TermType
from optuna_evo.rules import MATRIX_TERMS
from optuna_evo.spaces import genome_space


def random_genomes(terms: str, count: int = 150) -> list[tuple[optuna.trial.FrozenTrial, Genome]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    genomes = []
    for _ in range(count):
        trial = study.ask()
        genomes.append(suggest_genome(trial, terms=terms, horizon=500))  # type: ignore[arg-type]
        study.tell(trial, 0.0)
    return list(zip(study.get_trials(deepcopy=False), genomes, strict=True))


@pytest.mark.parametrize("terms", ["elementwise", "all"])
def test_a_genome_of_the_space_is_its_parameters_and_its_trial(terms: str) -> None:
    found = random_genomes(terms)
    for trial, genome in found:
        for params in (genome_params(genome), trial.params):
            again = suggest_genome(FixedTrial(params), terms=terms, horizon=500)  # type: ignore[arg-type]
            assert again == genome
        assert trial.params.items() <= genome_params(genome).items()
        assert Genome.from_dict(json.loads(json.dumps(genome.to_dict()))) == genome
    used = {term.type for _, genome in found for term in genome.terms}
    assert used == {*TermType} - ({*MATRIX_TERMS} if terms == "elementwise" else set())
    assert {genome.decay for _, genome in found} == {"constant", "linear", "cosine", "wsd"}
    for name in ("use_cautious", "use_rms_norm", "norm_bound", "tail_average"):
        assert len({bool(getattr(genome, name)) for _, genome in found}) == 2, name


@pytest.mark.filterwarnings("ignore:The value .* is out of the range")
@pytest.mark.parametrize("name", sorted(catalog))
def test_a_catalog_genome_is_its_update_in_the_space_of_all_terms(name: str) -> None:
    genome = dataclasses.replace(catalog[name], horizon=1000, weight_decay=0.01)
    again = suggest_genome(FixedTrial(genome_params(genome)), terms="all", horizon=1000)
    assert again.fingerprint() == genome.fingerprint()


def test_the_published_space_asks_for_nothing_new() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        genome_space(trial)
        later = ("warmup_share", "decay", "use_cautious", "use_rms_norm", "use_norm_bound")
        assert not set(trial.params) & {*later, "use_tail_average"}
        assert len(trial.distributions["term_0"].choices) == 7  # type: ignore[attr-defined]


def test_a_range_may_be_off_and_term_types_chosen() -> None:
    trial = optuna.create_study().ask()
    off = {"warmup_share": False, "norm_bound": False, "tail_average": False}
    genome = suggest_genome(trial, terms="all", term_types=("ORTHOGONAL",), **off)  # type: ignore[arg-type]
    assert {term.type for term in genome.terms} == {TermType.ORTHOGONAL}
    asked = {"warmup_share", "use_norm_bound", "use_tail_average"} & trial.params.keys()
    assert not asked and genome.norm_bound is None


def test_terms_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^`terms` must be one of .*'all'\], got 'most'\.$"):
        suggest_genome(optuna.create_study().ask(), terms="most")  # type: ignore[arg-type]

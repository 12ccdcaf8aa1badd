"""A genome is data: it round-trips, refuses nonsense, reads as an equation."""

import dataclasses
import json
import math
from typing import Any

import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import Term
from optuna_evo import TermType


SEED = {
    "term_types": [4, 3, 6],
    "alphas": [0.5, 2.0, -1.5],
    "lr_log10": -2.5,
    "beta1": 0.85,
    "beta2": 0.95,
    "eps_log10": -8.0,
    "wd_log10": -3.0,
    "use_m": True,
    "use_v": False,
    "use_bias_correction": False,
    "use_gradient_clipping": True,
    "clip_value": 1.25,
    "use_warmup": True,
    "warmup_steps": 100,
    "use_cosine_decay": True,
}


LATER = {
    "warmup_share": 0.1,
    "decay": "wsd",
    "use_cautious": True,
    "use_rms_norm": True,
    "norm_bound": 0.5,
    "tail_average": 0.2,
}


def genome(**changes: Any) -> Genome:
    return Genome(**({"terms": [("ADAM_TERM", 1.0)]} | changes))


@pytest.mark.parametrize("name", sorted(catalog))
def test_a_genome_survives_its_own_format_and_json(name: str) -> None:
    data = json.loads(json.dumps(catalog[name].to_dict()))
    assert Genome.from_dict(data) == catalog[name]


def test_every_field_is_in_the_own_format() -> None:
    full = genome(horizon=500, nesterov_beta=0.3, use_warmup=True, clip_value=2.0)
    assert full.to_dict().keys() == {field.name for field in dataclasses.fields(Genome)} - {*LATER}
    assert Genome.from_dict(full.to_dict()) == full
    later = genome(**LATER)
    assert later.to_dict().items() >= LATER.items()
    assert Genome.from_dict(json.loads(json.dumps(later.to_dict()))) == later


@pytest.mark.parametrize("name", LATER)
def test_a_field_of_a_later_release_counts_and_is_not_written_where_it_has_its_default(
    name: str,
) -> None:
    changed = genome(**{name: LATER[name]})
    assert set(changed.to_dict()) - set(genome().to_dict()) == {name}
    assert changed.fingerprint() != genome().fingerprint()
    assert changed.equation() != genome().equation()


def test_the_published_seed_format_is_read() -> None:
    read = Genome.from_dict(json.loads(json.dumps(SEED)))
    assert read.terms == (
        Term(TermType.SIGN_GRAD, 0.5),
        Term(TermType.ADAM_TERM, 2.0),
        Term(TermType.NESTEROV, -1.5),
    )
    assert math.isclose(read.lr, 10**-2.5)
    assert math.isclose(read.eps, 1e-8)
    assert math.isclose(read.weight_decay, 1e-3)
    assert (read.beta1, read.beta2, read.clip_value, read.warmup_steps) == (0.85, 0.95, 1.25, 100)
    assert read.use_m and not read.use_v and not read.use_bias_correction
    assert read.use_gradient_clipping and read.use_warmup and read.use_cosine_decay


def test_the_constructor_takes_the_published_keywords_and_flags_of_0_and_1() -> None:
    flags = {key: int(value) for key, value in SEED.items() if key.startswith("use_")}
    assert Genome(**{**SEED, **flags}) == Genome.from_dict(SEED)  # type: ignore[arg-type]
    changed = dataclasses.replace(Genome(**SEED), lr=0.1)  # type: ignore[arg-type]
    assert changed.lr == 0.1 and changed.terms == Genome.from_dict(SEED).terms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"term_types": [0], "alphas": [1.0, 2.0]}, "one number for each of `term_types`"),
        ({"alphas": [1.0]}, "one number for each of `term_types`"),
        ({}, "needs `terms`"),
        ({"terms": [], "lr_log10": "x"}, "`lr_log10` must be a number"),
        ({"terms": [], "use_m": 2}, "`use_m` must be true or false, got 2"),
    ],
)
def test_wrong_keywords_of_the_published_format_are_named(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Genome(**changes)


def test_a_seed_genome_survives_the_own_format() -> None:
    read = Genome.from_dict(SEED)
    assert Genome.from_dict(read.to_dict()) == read


def test_nesterov_of_the_seed_format_keeps_the_weights_of_the_notebook() -> None:
    read = Genome.from_dict({"term_types": [6], "alphas": [1.0], "beta1": 0.5})
    written_out = genome(terms=[("MOMENTUM", 0.1), ("GRAD", 0.9)], beta1=0.5)
    assert read.fingerprint() == written_out.fingerprint()


def test_reading_does_not_change_what_is_read() -> None:
    data = dict(SEED)
    Genome.from_dict(data)
    assert data == SEED


@pytest.mark.parametrize(
    "terms",
    [
        [(3, 1.0)],
        [["ADAM_TERM", 1]],
        (Term(TermType.ADAM_TERM, 1.0),),
        [(TermType.ADAM_TERM, 1.0)],
    ],
)
def test_a_term_is_a_pair_of_a_name_or_number_and_a_weight(terms: Any) -> None:
    assert genome(terms=terms) == genome()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"lr": 0.0}, "`lr` must be > 0 and finite, got 0.0"),
        ({"lr": -1e-3}, "`lr` must be > 0"),
        ({"lr": math.nan}, "`lr` must be > 0 and finite, got nan"),
        ({"lr": math.inf}, "`lr` must be > 0 and finite, got inf"),
        ({"lr": "fast"}, "`lr` must be a number, got 'fast'"),
        ({"beta1": 1.0}, "`beta1` must be >= 0 and < 1 and finite, got 1.0"),
        ({"beta1": -0.1}, "`beta1` must be >= 0"),
        ({"beta2": 1.5}, "`beta2` must be >= 0 and < 1"),
        ({"beta2": None}, "`beta2` must be a number, got None"),
        ({"eps": 0.0}, "`eps` must be > 0"),
        ({"weight_decay": -1e-9}, "`weight_decay` must be >= 0"),
        ({"clip_value": 0.0}, "`clip_value` must be > 0"),
        ({"warmup_steps": -1}, "`warmup_steps` must be >= 0"),
        ({"horizon": 0}, "`horizon` must be >= 1"),
        ({"nesterov_beta": 1.0}, "`nesterov_beta` must be >= 0 and < 1"),
        ({"use_m": "false"}, "`use_m` must be true or false, got 'false'"),
        ({"terms": [("ADAM", 1.0)]}, "of GRAD, MOMENTUM, RMS_NORM, .*; got \\('ADAM', 1.0\\)"),
        ({"terms": [(99, 1.0)]}, "A term must be a pair"),
        ({"terms": [("GRAD",)]}, "A term must be a pair"),
        ({"terms": [("GRAD", None)]}, "A term must be a pair"),
        ({"terms": [("GRAD", math.nan)]}, "`alpha` of a term must be finite, got nan for GRAD"),
    ],
)
def test_a_value_out_of_range_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        genome(**kwargs)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"terms": [], "learning_rate": 1}, "Unknown genome keys \\['learning_rate'\\]; allowed"),
        ({"term_types": [0, 1], "alphas": [1.0]}, "`alphas` must hold one number for each"),
        ({"term_types": [0]}, "`alphas` must hold one number for each"),
        ({"lr": 1e-3}, "A genome needs `terms`"),
    ],
)
def test_a_wrong_format_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Genome.from_dict(data)


def test_a_genome_is_frozen_and_hashable() -> None:
    one = genome(terms=[("GRAD", 1.0)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.lr = 1.0  # type: ignore[misc]
    assert {one, genome(terms=(Term(TermType.GRAD, 1.0),)), genome()} == {one, genome()}


def test_a_genome_does_not_follow_the_list_it_was_made_from() -> None:
    terms = [Term(TermType.GRAD, 1.0)]
    one = genome(terms=terms)
    terms.clear()
    assert one.terms == (Term(TermType.GRAD, 1.0),)


EQUATIONS = {
    "sgd": "w ← w − η·g\nη = 0.01",
    "momentum": "m ← 0.9·m + 0.1·g\nw ← w − η·10·m\nη = 0.01",
    "adamw": (
        "m ← 0.9·m + 0.1·g\n"
        "v ← 0.999·v + 0.001·g²\n"
        "m̂ = m/(1 − 0.9ᵗ),  v̂ = v/(1 − 0.999ᵗ)\n"
        "w ← w − η·0.01·w − η·m̂/(√v̂ + 1e-08)\n"
        "η = 0.001"
    ),
    "published_2025": (
        "m ← 0.8553·m + 0.1447·g\n"
        "v ← 0.9358·v + 0.06424·g²\n"
        "w ← w − η·0.000974·w − η·(3.635·m/(√v + 5.4e-09) + 0.7344·sign(g))\n"
        "η = 0.001203·min(1, t/(0.2·T))·½(1 + cos(π·t/T))"
    ),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equation_reads_as_a_person_would_write_it(name: str) -> None:
    assert catalog[name].equation() == EQUATIONS[name]


@pytest.mark.parametrize(
    ("changes", "equation"),
    [
        (
            {"terms": [("SIGN_GRAD", -1.0), ("GRAD", -0.5)], "lr": 0.1},
            "w ← w − η·(−0.5·g − sign(g))\nη = 0.1",
        ),
        (
            {"terms": [("NESTEROV", 2.0)], "beta1": 0.75, "use_bias_correction": False},
            "m ← 0.75·m + 0.25·g\nw ← w − η·(0.5·g + 1.5·m)\nη = 0.001",
        ),
        (
            {"use_v": False, "use_gradient_clipping": True, "clip_value": 0.5, "eps": 1e-6},
            "g ← clip(g, ±0.5)\nm ← 0.9·m + 0.1·g\nm̂ = m/(1 − 0.9ᵗ)\n"
            "w ← w − η·m̂/(|g| + 1e-06)\nη = 0.001",
        ),
        (
            {"terms": [("GRAD", 1.0)], "use_warmup": True, "warmup_steps": 50},
            "w ← w − η·g\nη = 0.001·min(1, t/50)",
        ),
        ({"terms": [("SIGN_GRAD", -1.0)]}, "w ← w − η·(−sign(g))\nη = 0.001"),
        (
            {"terms": [("SIGN_MOMENTUM", 1.0), ("GRAD", 0.5)]},
            "m ← 0.9·m + 0.1·g\nw ← w − η·(0.5·g + sign(m))\nη = 0.001",
        ),
        (
            {"terms": [("LION", 1.0)], "beta2": 0.99, "weight_decay": 0.1},
            "w ← w − η·0.1·w − η·sign(0.9·s + 0.1·g)\ns ← 0.99·s + 0.01·g\nη = 0.001",
        ),
        (
            {"terms": [("AGREEMENT", 2.0)], "use_bias_correction": False},
            "m ← 0.9·m + 0.1·g\nw ← w − η·2·m·[sign(g) = sign(m)]\nη = 0.001",
        ),
        ({"terms": [], "weight_decay": 0.1}, "w ← w − η·0.1·w\nη = 0.001"),
        ({"terms": []}, "w ← w\nη = 0.001"),
    ],
)
def test_the_equation_shows_what_is_done_and_no_more(
    changes: dict[str, Any], equation: str
) -> None:
    assert genome(**changes).equation() == equation

"""Genomes and schedules from elsewhere: read, or refused in one line."""

import json
import math
from typing import Any

import pytest

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import ParamGroup
from optuna_evo.config import SegmentConfig
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.rules import Piece
from optuna_evo.rules import Schedule
from tests.hostile.values import HOSTILE
from tests.hostile.values import mutations


SEED_FORMAT = {
    "term_types": [0, 3],
    "alphas": [1.0, 0.5],
    "lr_log10": -3,
    "eps_log10": -8,
    "wd_log10": -4,
    "use_m": True,
}
GENOMES = [*(genome.to_dict() for genome in catalog.values()), SEED_FORMAT]
PIECE = {"trial": 0, "first_step": 0, "steps": 5, "value": 1.2, "params": {"lr": 0.1}}
SCHEDULE = {
    "study": "s",
    "task": "gpt2",
    "pieces": [PIECE, PIECE | {"trial": 1, "first_step": 5, "steps": 3}],
}


def one_line(error: BaseException) -> None:
    text = str(error)
    assert text and "\n" not in text and len(text) < 1500


def test_a_spoilt_genome_is_read_or_refused_in_one_line() -> None:
    n_refused = 0
    for data in mutations(1, 600, GENOMES):
        try:
            genome = Genome.from_dict(data)
        except ValueError as error:
            one_line(error)
            n_refused += 1
        else:
            assert len(genome.fingerprint()) == 16
            assert Genome.from_dict(json.loads(json.dumps(genome.to_dict()))) == genome
    assert n_refused > 300


def test_a_spoilt_schedule_is_read_or_refused_in_one_line() -> None:
    n_refused = 0
    for data in mutations(2, 600, [SCHEDULE]):
        try:
            schedule = Schedule.from_dict(data)
        except ValueError as error:
            one_line(error)
            n_refused += 1
        else:
            assert schedule.total_steps >= 1
    assert n_refused > 300


def test_a_spoilt_optimizer_or_configuration_is_read_or_refused_in_one_line() -> None:
    n_refused = 0
    named = NamedOptimizer(
        groups=[ParamGroup(optimizer="AdamW", options={"lr": 0.1}, pattern="x", dims=(2,))],
        warmup_steps=3,
        cosine=True,
    ).to_dict()
    config = SegmentConfig(genome=catalog["lion"], batch_size=3, model={"dropout": 0.1})
    tables = [(NamedOptimizer, named), (SegmentConfig, config.to_dict() | {"sparsity": 0.1})]
    for cls, table in tables:
        for data in mutations(4, 300, [table]):
            try:
                cls.from_dict(data)  # type: ignore[attr-defined]
            except ValueError as error:
                one_line(error)
                n_refused += 1
    assert n_refused > 200


READERS = [Genome.from_dict, Schedule.from_dict, NamedOptimizer.from_dict, SegmentConfig.from_dict]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(type(value)))
def test_what_is_no_table_is_refused_in_one_line(read: Any, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        read(value)
    one_line(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": None}, "`terms` must be a list of pairs"),
        ({"terms": "GRAD"}, "`terms` must be a list of pairs"),
        ({"terms": [["GRAD", True]]}, "A term must be a pair"),
        ({"terms": [[True, 1.0]]}, "A term must be a pair"),
        ({"terms": [["GRAD", 10**400]]}, "A term must be a pair"),
        ({"terms": [["GRAD", 1.5e308], ["GRAD", 1.5e308]]}, "must have a finite sum"),
        ({"term_types": [0], "alphas": True}, "`alphas` must hold one number for each"),
        ({"term_types": 3, "alphas": [1]}, "`alphas` must hold one number for each"),
        ({"lr": 10**400}, "`lr` must be > 0 and finite"),
        ({"lr": True}, "`lr` must be a number, got True"),
        ({"lr_log10": 10**400}, "`lr_log10` must be below 308"),
        ({"lr_log10": "x"}, "`lr_log10` must be a number, got 'x'"),
        ({"lr_log10": math.nan}, "`lr` must be > 0 and finite"),
        ({"horizon": [3]}, r"`horizon` must be a number, got \[3\]"),
        ({7: 1, "z": 2}, r"Unknown genome keys \['7', 'z'\]"),
    ],
)
def test_a_wrong_value_of_a_genome_is_named(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Genome.from_dict({"terms": [["GRAD", 1.0]]} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -5}, "`steps` of a piece must be a whole number of at least 1, got -5"),
        ({"steps": 0}, "`steps` of a piece must be a whole number of at least 1, got 0"),
        ({"steps": True}, "`steps` of a piece must be a whole number"),
        ({"trial": 1.5}, "`trial` of a piece must be a whole number"),
        ({"first_step": "0"}, "`first_step` of a piece must be a whole number"),
        ({"value": math.nan}, "`value` of a piece must be a finite number"),
        ({"value": 10**400}, "`value` of a piece must be a finite number"),
        ({"params": [1]}, "`params` of a piece must be a table"),
    ],
)
def test_a_wrong_value_of_a_piece_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Piece(**{**PIECE, **change})
    with pytest.raises(ValueError, match=message):
        Schedule.from_dict({**SCHEDULE, "pieces": [{**PIECE, **change}]})


def test_a_schedule_whose_rate_is_no_number_says_so() -> None:
    schedule = Schedule.from_dict({**SCHEDULE, "pieces": [PIECE | {"params": {"lr": "big"}}]})
    with pytest.raises(ValueError, match="must be numbers, got 'big' and 1"):
        schedule.lr(0)

"""Rows agree with one another: what a row folds to is the same function, what it names exists."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from optuna_evo import Genome
from optuna_evo import Term
from optuna_evo import TermType
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import FoldSettings
from optuna_evo.rules import FROZEN
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import step_numbers


ON = FoldSettings(use_m=True, use_v=True, beta1=0.9, beta2=0.75, nesterov_share=0.3)
SETTINGS = {
    "m off": ON._replace(use_m=False),
    "beta1 of 0": ON._replace(beta1=0.0),
    "v off": ON._replace(use_v=False),
    "beta2 of 0": ON._replace(beta2=0.0),
    "equal betas": ON._replace(beta1=0.75),
}


def operands(settings: FoldSettings, n_steps: int = 3) -> Any:
    """Return the operands of the last of some steps, averages as the settings make them."""
    generator = torch.Generator().manual_seed(0)
    x = SimpleNamespace(m_share=1 - settings.beta1, v_decay=settings.beta2, eps=1e-3)
    x.v_share, kept = 1 - settings.beta2, dict.fromkeys(AVERAGES, torch.zeros(50).double())
    for _ in range(n_steps):
        x.g = torch.randn(50, generator=generator).double()
        for symbol, average in AVERAGES.items():
            before, after = kept[symbol], average.update(kept[symbol], x)
            shown = before if average.after_use else after
            off = average.beta == "beta1" and not settings.use_m
            off_v = symbol == "v" and not settings.use_v
            setattr(x, symbol, x.g if off else x.g * x.g if off_v else shown)
            kept[symbol] = after
    x.rms, x.size = x.v.sqrt() + x.eps, x.g.abs() + x.eps
    if not settings.use_m:
        x.m_share = 1.0
    return x


@pytest.mark.parametrize("why", SETTINGS)
@pytest.mark.parametrize("term", DIRECTIONS)
def test_a_term_folds_to_what_is_the_same_function(term: TermType, why: str) -> None:
    settings = SETTINGS[why]
    genome = Genome(
        terms=[Term(term, 1.0)],
        use_m=settings.use_m,
        use_v=settings.use_v,
        beta1=settings.beta1,
        beta2=settings.beta2,
    )
    (left,) = [d for d, c in zip(DIRECTIONS, genome.rule.coefficients, strict=True) if c]
    x = operands(settings)
    assert term.row.expression is not None and left.row.expression is not None
    torch.testing.assert_close(left.row.expression(x), term.row.expression(x))


@pytest.mark.parametrize("term", TermType)
def test_a_row_names_what_exists(term: TermType) -> None:
    assert set(term.row.reads) <= AVERAGES.keys() | {"eps", "beta1", "beta2"}
    assert all(name in TermType.__members__ for _, name in term.row.folds)
    ways = (term.row.expression is not None, term.row.parts is not None, term.row.matrix)
    assert sum(ways) == 1
    for name in term.row.parts(ON) if term.row.parts else ():
        assert TermType[name] in DIRECTIONS


@pytest.mark.parametrize("term", DIRECTIONS)
def test_a_rule_keeps_the_averages_that_its_term_reads_and_shows_the_term(term: TermType) -> None:
    rule = Genome(terms=[Term(term, 1.0)]).rule
    assert rule.needs == set(term.row.reads) & AVERAGES.keys()
    for symbol in AVERAGES:
        assert (f"{symbol} ← " in rule.equation()) == (symbol in rule.needs)
    assert "{" not in rule.equation()


def test_integers_of_terms_are_those_of_the_published_format_and_of_stored_studies() -> None:
    published = "GRAD MOMENTUM RMS_NORM ADAM_TERM SIGN_GRAD SQRT_GRAD NESTEROV".split()
    assert [TermType(code).name for code in range(7)] == published


def test_numbers_are_as_many_as_their_names() -> None:
    rule = Genome(terms=[("ADAM_TERM", 1.0)]).rule
    assert len(NUMBERS) == len(set(NUMBERS)) == len(FROZEN)
    assert len(step_numbers(rule, 1, total_steps=None)) == len(NUMBERS)


def test_numbers_of_a_step_hold_schedule_correction_and_learning_rate() -> None:
    genome = Genome(
        terms=[("ADAM_TERM", 2.0), ("GRAD", -1.0)],
        lr=0.1,
        beta1=0.5,
        beta2=0.75,
        weight_decay=0.01,
        use_warmup=True,
        warmup_steps=8,
    )
    numbers = step_numbers(genome.rule, 2, total_steps=None)
    n = dict(zip(NUMBERS, numbers, strict=True))
    lr = 0.1 * 2 / 8
    assert n["adam_term"] == pytest.approx(lr * 2 / (1 - 0.5**2))
    assert n["grad"] == pytest.approx(-lr) and n["momentum"] == n["dense"] == 0
    assert n["decay"] == pytest.approx(1 - lr * 0.01)
    assert (n["m_share"], n["v_decay"], n["v_share"]) == (0.5, 0.75, 0.25)
    assert n["rms_scale"] == pytest.approx((1 - 0.75**2) ** -0.5)


def test_numbers_of_steps_in_a_tensor_are_those_of_each_step() -> None:
    genome = Genome(
        terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.5)],
        use_warmup=True,
        warmup_steps=3,
        use_cosine_decay=True,
    )
    steps = torch.arange(1, 9, dtype=torch.float64)
    columns = step_numbers(genome.rule, steps, total_steps=8)
    for i, step in enumerate(range(1, 9)):
        expected = step_numbers(genome.rule, step, total_steps=8)
        ours = [float((torch.zeros_like(steps) + column)[i]) for column in columns]
        assert ours == pytest.approx(expected, rel=1e-14)

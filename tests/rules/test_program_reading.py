"""Exported files of Python are read without being run."""

import dataclasses

import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo.rules import program
from optuna_evo.rules import read_program
from optuna_evo.rules import TermType


GENOMES = {
    **catalog,
    "clipped": Genome(
        terms=[(term, 0.3 + term) for term in TermType],
        use_gradient_clipping=True,
        clip_value=0.5,
        weight_decay=0.02,
        use_warmup=True,
        warmup_steps=7,
    ),
    "without averages": Genome(terms=[("MOMENTUM", -2.0)], use_m=False, use_v=False, lr=3e-7),
}


@pytest.mark.parametrize("name", GENOMES)
def test_what_was_exported_is_read_back(name: str) -> None:
    rule = GENOMES[name].rule
    text = program(rule, name="Mine", origin='Trial 3 of "study" \\ \u2028')
    assert read_program(text).rule == rule


ADAMW = program(catalog["adamw"].rule)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no class"),
        ("import os\nos.system('true')\n", "no class"),
        (ADAMW.replace("import torch", "import torch, os"), "not as it was written"),
        (ADAMW + "\nprint(1)\n", "not as it was written"),
        (ADAMW.replace("lr=0.001", "lr=abs(1)"), "no lr"),
        (ADAMW.replace("lr=0.001", "lr=-1"), "says no rule"),
        (ADAMW.replace("m / rms", "m * rms"), "no term"),
        (ADAMW.replace("update = ", "update = 0 * "), "no term"),
    ],
)
def test_what_is_not_ours_or_was_changed_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_program(text)


def test_other_defaults_are_another_rule() -> None:
    changed = read_program(ADAMW.replace("lr=0.001", "lr=0.002"))
    assert changed.rule == dataclasses.replace(catalog["adamw"], lr=0.002).rule

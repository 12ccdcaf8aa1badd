"""Exported files of Python are read without being run."""

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
    text = program(GENOMES[name], name="Mine", origin='Trial 3 of "study" \\ \u2028')
    found = read_program(text)
    assert found is not None
    assert found.genome == GENOMES[name]


ADAMW = program(catalog["adamw"])


@pytest.mark.parametrize(
    "text",
    [
        ADAMW.replace("import torch", "import torch, os"),
        ADAMW + "\nprint(1)\n",
        ADAMW.replace("lr=0.001", "lr=0.002"),
        ADAMW.replace("'lr': 0.001", "'lr': 0.002"),
        ADAMW.replace("'lr': 0.001", "'lr': -1"),
        ADAMW.replace("m / rms", "m * rms"),
        ADAMW.replace("update = ", "update = 0 * "),
        ADAMW.partition("# What this")[0],
    ],
)
def test_the_genome_of_a_file_that_was_changed_does_not_count(text: str) -> None:
    assert text != ADAMW
    found = read_program(text)
    assert found is not None and found.genome is None

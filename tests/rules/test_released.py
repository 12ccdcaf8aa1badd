"""Genomes of the release before terms became rows are the rules they were."""

import json
from pathlib import Path
from typing import Any

import pytest

from optuna_evo import Genome


# named ones, random ones and such with decays of 0, written by the release of schema 1
RELEASED = json.loads((Path(__file__).parents[1] / "assets/schema1_genomes.json").read_text())


@pytest.mark.parametrize("released", RELEASED, ids=lambda released: released["fingerprint"])
def test_a_released_genome_is_the_rule_it_was(released: dict[str, Any]) -> None:
    genome = Genome.from_dict(released["genome"])
    assert genome.fingerprint() == released["fingerprint"]
    assert genome.equation() == released["equation"]
    first = len(released["coefficients"])
    assert list(genome.rule.coefficients[:first]) == released["coefficients"]
    assert not any(genome.rule.coefficients[first:])

"""Studies that an earlier version left in mid-run go on as that version went on with them.

`schema1.db.gz` was written by the last version of schema 1; `schema1_params.json` has the
parameters of all trials after it had gone on itself.
"""

import gzip
import json
from pathlib import Path
import shutil
from typing import Any

import pytest

from optuna_evo.attributes import MEMBER
from optuna_evo.attributes import PARENT
from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.search import open_storage
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy


ASSETS = Path(__file__).parents[1] / "assets"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads(
    (ASSETS / "schema1_params.json").read_text()
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "schema1.db"
    with gzip.open(ASSETS / "schema1.db.gz") as packed, path.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    return f"sqlite:///{path}"


def go_on(url: str, tmp_path: Path, name: str, n_more: int | None = None) -> StoredStudy:
    stored = load_study(name, open_storage(url))
    run_study(stored, n_more=n_more, device="cpu", checkpoints=str(tmp_path / "checkpoints"))
    return stored


def assert_as_before(stored: StoredStudy, n_trials: int) -> None:
    found = [trial.params for trial in stored.study.get_trials()]
    assert len(found) == n_trials
    for params, expected in zip(found, EXPECTED[stored.spec.name], strict=False):
        assert params.keys() == expected.keys()
        for name, value in expected.items():
            exact = not isinstance(value, float)
            assert params[name] == (value if exact else pytest.approx(value, rel=1e-6)), name


@pytest.mark.parametrize(("name", "n_before"), [("genomes", 8), ("tuned", 6), ("warm", 4)])
def test_a_study_goes_on_with_the_same_parameters(
    url: str, tmp_path: Path, name: str, n_before: int
) -> None:
    n_trials = len(EXPECTED[name])
    assert n_trials > n_before
    assert_as_before(go_on(url, tmp_path, name), n_trials)


def test_the_next_segment_of_a_lineage_is_the_same(url: str, tmp_path: Path) -> None:
    # its checkpoints are not kept, so that values differ from here on
    stored = go_on(url, tmp_path, "lineage", n_more=1)
    assert_as_before(stored, 6)


def test_attributes_of_schema_1_are_read(url: str) -> None:
    storage = open_storage(url)
    lineage = load_study("lineage", storage).study.get_trials()[-1].user_attrs
    tuned = load_study("tuned", storage).study.get_trials()[-1].user_attrs
    genomes = load_study("genomes", storage).study.get_trials()
    assert (MEMBER.read(lineage), PARENT.read(lineage)) == (1, 1)
    assert PROPOSED_BY.read(tuned) == "genetic 1: litter"
    assert [REPETITION.read(t.user_attrs) for t in genomes[4:7]] == [1, 1, 1]
    warm = load_study("warm", storage).study.user_attrs
    assert SOURCE_WEIGHTS.read(warm) == {"table": 0.902}

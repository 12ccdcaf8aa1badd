"""What a sampler proposes in a named study does not change from version to version.

Every trial of the recorded studies is proposed again from the trials before it, in a study of the
same name: stored studies keep their random streams. Where a version changed what is proposed,
`proposals.json` has that.
"""

from collections.abc import Sequence
import gzip
import json
from pathlib import Path
import shutil
from typing import Any

import optuna
from optuna.trial import FrozenTrial
import pytest

from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source
from optuna_evo.search import open_storage
from optuna_evo.study import load_study
from optuna_evo.study import StoredStudy
from optuna_evo.study._parts import build_sampler
from optuna_evo.study._parts import build_space


# What is proposed after the trials of the recorded studies since samplers start with a design and
# learn from fewer results: other trials than the version proposed that recorded them.
PROPOSALS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "assets" / "proposals.json").read_text()
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredStudy]:
    asset = Path(__file__).parents[1] / "assets" / "schema1.db.gz"
    path = tmp_path_factory.mktemp("recorded") / "schema1.db"
    with gzip.open(asset) as packed, path.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    storage = open_storage(f"sqlite:///{path}")
    names = optuna.get_all_study_names(storage)
    return {name: load_study(name, storage) for name in names}


def proposed(stored: StoredStudy, before: Sequence[FrozenTrial], sources: list[Source]) -> Any:
    study = optuna.create_study(
        study_name=stored.spec.name,
        direction=stored.spec.direction,
        sampler=build_sampler(stored.spec, len(before), sources),
    )
    for key, value in stored.study.user_attrs.items():
        study.set_user_attr(key, value)
    # a lineage goes on with the defaults that its study was begun with
    attrs = stored.study._storage.get_study_system_attrs(stored.study._study_id)
    for key, value in attrs.items():
        study._storage.set_study_system_attr(study._study_id, key, value)
    study.add_trials(before)
    build_space(stored.spec)(study.ask())
    return study.trials[-1].params


@pytest.mark.parametrize("name", ["genomes", "tuned", "table", "warm", "lineage"])
def test_each_trial_is_proposed_again(recorded: dict[str, StoredStudy], name: str) -> None:
    stored = recorded[name]
    sources = [read_source(recorded["table"].study)] if name == "warm" else []
    trials = stored.study.get_trials()
    assert len(trials) > 3
    for k, trial in enumerate(trials):
        params = proposed(stored, trials[:k], sources)
        since = PROPOSALS.get(name, [])
        expected = since[k] if k < len(since) else trial.params
        floats = {n: pytest.approx(v, rel=1e-9) for n, v in expected.items() if type(v) is float}
        assert params == expected | floats, k

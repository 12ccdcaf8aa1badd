"""What a sampler proposes in a named study does not change from version to version.

Every trial of the recorded studies is proposed again from the trials before it, in a study of the
same name: stored studies keep their random streams.
"""

from collections.abc import Sequence
import gzip
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


# Trials of these studies that were drawn at random. Since then samplers start with a design:
# a study of the earlier version that has not got past them goes on with that.
N_STARTS = {"genomes": 4, "tuned": 3}


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
        if k < N_STARTS.get(name, 0):
            continue
        params = proposed(stored, trials[:k], sources)
        floats = {
            n: pytest.approx(v, rel=1e-9) for n, v in trial.params.items() if type(v) is float
        }
        assert params == trial.params | floats, k

"""Old studies to start from: 50 trials of TPE on each table, in SQLite databases.

A target of one data set may learn from the studies of the other data sets of its family. There are
five databases of each family, with other seeds, which the seeds of a benchmark use in turns; of
the families of more than ten data sets two or three. Seeds from 100 on, on which choices are made,
have databases of their own.
"""

from collections.abc import Mapping
from functools import cache
import os
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.study import Study
import sqlalchemy

from tests.benchmarks.more_tables import load_more
from tests.benchmarks.tables import load_family
from tests.benchmarks.tables import Table


N_TRIALS = 50
N_DATABASES = {"adaboost": 2, "deepar": 3, "lcbench": 3}
N_DATABASES_OF_OTHERS = 5
TARGETS = {
    "hpobench": 4,
    "hpolib": 2,
    "nas201": 3,
    "adaboost": 5,  # of 47, evenly
    "deepar": 5,  # of 11, evenly
    "lcbench": 5,  # of 12
    "taskset": 6,
    "nmt": 3,
    "glmnet": 4,
    "deepobs": 4,
    "branches": 3,
}
CONDITIONAL = ("deepobs", "branches")
FIRST_FOR_CHOICES = 100  # seeds and databases from here on are for choices, never for reports


@cache
def family_tables(folder: Path, family: str) -> dict[str, Table]:
    """Return the tables of a family by name."""
    if family in CONDITIONAL:
        return {table.name: table for table in load_more(folder) if table.family == family}
    return {table.name: table for table in load_family(folder, family)}


def target_names(folder: Path, family: str) -> list[str]:
    """Return the tables of a family that are targets, evenly chosen."""
    names = list(family_tables(folder, family))
    chosen = np.linspace(0, len(names) - 1, min(TARGETS[family], len(names)))
    return [names[round(i)] for i in chosen]


@cache
def read_database(folder: Path, cache_dir: Path, family: str, replicate: int) -> dict[str, Study]:
    """Return the studies of a database by name."""
    url = database(folder, cache_dir, family, replicate)
    storage = optuna.storages.RDBStorage(url)
    names = family_tables(folder, family)
    return {n: optuna.load_study(study_name=n, storage=storage) for n in names}


def source_studies(folder: Path, cache_dir: Path, target: str, seed: int) -> list[Study]:
    """Return the studies of the other data sets, from their database."""
    family = target.split("/")[0]
    replicate = seed % N_DATABASES.get(family, N_DATABASES_OF_OTHERS)
    if seed >= FIRST_FOR_CHOICES:
        replicate += FIRST_FOR_CHOICES
    studies = read_database(folder, cache_dir, family, replicate)
    return [study for name, study in studies.items() if name != target]


def database(folder: Path, cache_dir: Path, family: str, replicate: int) -> str:
    """Return the URL of a database of a family; fill it if it is not there yet."""
    path = cache_dir / f"sources-{family}-{replicate}.db"
    if not path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        storage = optuna.storages.RDBStorage(f"sqlite:///{part}")
        sqlalchemy.event.listen(storage.engine, "connect", _without_sync)
        storage.engine.dispose()  # the connection that is open was made before
        for table in family_tables(folder, family).values():
            study = optuna.create_study(study_name=table.name, storage=storage)
            study.add_trials(run_source(table, replicate).trials)
        storage.engine.dispose()
        part.rename(path)
    return f"sqlite:///{path}"


def run_source(
    table: Table,
    replicate: int,
    *,
    space: Mapping[str, BaseDistribution] | None = None,
) -> Study:
    """Run TPE on a table; parameters that `space` lacks stay at the middle of their range."""
    seed = crc32(f"source/{table.name}/{replicate}".encode())
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(study_name=table.name, sampler=sampler)
    rest = {name: middle(d) for name, d in table.space.items()}
    for _ in range(N_TRIALS):
        if table.conditions:
            trial = study.ask()
            study.tell(trial, table.lookup(table.suggest(trial)))
            continue
        trial = study.ask(dict(table.space if space is None else space))
        study.tell(trial, table.lookup({**rest, **trial.params}))
    return study


def middle(distribution: BaseDistribution) -> Any:
    """Return the middle value of a distribution, its first choice for a category."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    log = distribution.log
    ends = np.array([distribution.low, distribution.high], dtype=np.float64)
    value = float(np.exp(np.log(ends).mean())) if log else float(ends.mean())
    return int(value) if isinstance(distribution, IntDistribution) else value


def _without_sync(connection: Any, _record: Any) -> None:
    # these databases can be made again, and without waiting for the disk are made ten times faster
    connection.execute("PRAGMA synchronous=OFF")

"""Two thousand spoilt inputs: read, or refused in one line; nothing hangs or is half-written.

The default suite draws a small share of them; `-m slow` all.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import io
import json
import os
from pathlib import Path
import signal
import sqlite3
import tempfile
from typing import Any
from typing import TypeVar
import warnings

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import Phase
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import optuna
import pytest
import torch

from optuna_evo.attributes import SPEC
from optuna_evo.cli import main
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import OptunaEvoError
from optuna_evo.estimators import load_table
from optuna_evo.names import shown_url
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.rules import Schedule
from optuna_evo.search import open_storage
from optuna_evo.search import study_names
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers import read_checkpoint
from optuna_evo.trainers import write_checkpoint
from tests.hostile.spoilt import changed_bytes
from tests.hostile.spoilt import changed_table
from tests.hostile.spoilt import JSON_VALUES
from tests.hostile.test_rules import PIECE
from tests.hostile.test_rules import SCHEDULE
from tests.hostile.test_specs import BASES


_F = TypeVar("_F", bound=Callable[..., None])
STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("**/*.toml"))
LONGEST_S = 60


def examples(few: int, many: int) -> Callable[[_F], Any]:
    """Run a test with a few examples by default, with many as a slow test."""

    def both(test: _F) -> Any:
        def run(n: int) -> None:
            drawn = settings(
                max_examples=n,
                deadline=None,
                database=None,
                derandomize=True,
                phases=(Phase.generate,),  # to make a failing one small takes minutes
                suppress_health_check=list(HealthCheck),
            )
            drawn(test)()

        @pytest.mark.parametrize(
            "n",
            [pytest.param(few, id="share"), pytest.param(many, marks=pytest.mark.slow, id="all")],
        )
        def wrapped(n: int) -> None:
            run(n)

        wrapped.__name__ = test.__name__
        return wrapped

    return both


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """Fail what takes longer than a minute."""

    def ring(*_: Any) -> None:
        raise AssertionError(f"hangs for {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_line(text: str, most: int = 3000) -> None:
    assert text and "\n" not in text and "\x1b" not in text and len(text) < most, text


def call(*args: str) -> tuple[int, str, str]:
    """Run a command in an own folder; an error must be one line that we wrote."""
    out, err = io.StringIO(), io.StringIO()
    with no_hang(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(args)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    text = err.getvalue()
    assert "Traceback" not in text and "--debug shows where" not in text, text
    if code:
        (line,) = [line for line in text.splitlines() if line.startswith("Error: ")]
        one_line(line)
    return code, out.getvalue(), text


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def is_whole(database: Path) -> None:
    """Check that a database is not there, or opens, and that each study in it has its spec."""
    if database.exists():
        storage = open_storage(f"sqlite:///{database}")
        for name in study_names(storage):
            assert SPEC.is_in(optuna.load_study(study_name=name, storage=storage).user_attrs)
        storage.engine.dispose()


# --- specs ---------------------------------------------------------------------------------------


@st.composite
def spec_files(draw: st.DrawFn) -> bytes:
    path = draw(st.sampled_from(STUDIES))
    return draw(changed_bytes(path.read_bytes()) | st.binary(max_size=60))


@examples(6, 350)
@given(spec_files())
def test_a_spoilt_spec_file_makes_a_study_or_nothing(data: bytes) -> None:
    with own_folder() as folder:
        Path("s.toml").write_bytes(data)
        code, _, _ = call("study", "create", "s", "s.toml", "--storage", "sqlite:///a.db")
        assert (code == 0) == (folder / "a.db").exists()
        is_whole(folder / "a.db")
        assert {p.name for p in folder.iterdir()} <= {"s.toml", "a.db", "a.db-wal", "a.db-shm"}


@examples(4, 350)
@given(changed_table(list(BASES.values())))
def test_a_spoilt_spec_in_a_database_is_refused_in_one_line(spec: Any) -> None:
    with own_folder() as folder:
        storage = open_storage("sqlite:///a.db")
        study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
        try:
            study.set_user_attr(SPEC.key, spec)
        except Exception:  # what a database does not take cannot be in one
            return
        study.add_trial(optuna.trial.create_trial(value=0.5))
        for command in ("show", "export", "list", "sources", "lineage"):
            call("study", command, *(["s"] if command != "list" else []))
        call("study", "run", "s", "--trials", "1", "--device", "cpu")
        is_whole(folder / "a.db")


# --- addresses -----------------------------------------------------------------------------------

URLS = (
    b"sqlite:///a.db",
    b"sqlite:////tmp/no/such/a.db?mode=ro&uri=true",
    b"postgresql://me:s3cr3t@nowhere.invalid:5432/db?sslpassword=s3cr3t",
    b"mysql+pymysql://me:s3cr3t@nowhere.invalid/db?passwd=s3cr3t",
    b"s3://bucket/prefix",
    b"redis://:s3cr3t@nowhere.invalid/0",
)


@st.composite
def urls(draw: st.DrawFn) -> str:
    spoilt = draw(changed_bytes(draw(st.sampled_from(URLS))))
    text = spoilt.decode("utf-8", errors="surrogateescape").replace("\0", "")
    # no name that a server might have: what is asked must fail at once
    return text if "nowhere" not in text or ".invalid" in text else text.replace("nowhere", "")


@examples(6, 300)
@given(urls())
def test_a_spoilt_address_opens_a_database_or_is_refused_in_one_line(url: str) -> None:
    with own_folder() as folder:
        (folder / "s.toml").write_text('tasks = ["two_moons"]\nn_trials = 2\n')
        for command in (("list",), ("create", "s", "s.toml")):
            _, out, err = call("study", *command, "--storage", url)
            if "s3cr3t" not in url.partition("@")[2].partition("?")[0]:
                assert "s3cr3t@" not in out + err
        one_line(shown_url(url) or "empty")


# --- genomes and schedules -----------------------------------------------------------------------

GENOMES = [genome.to_dict() for genome in catalog.values()]


@examples(100, 500)
@given(changed_table([*GENOMES, *[SCHEDULE, {**SCHEDULE, "pieces": [PIECE]}]]) | JSON_VALUES)
def test_a_spoilt_genome_or_schedule_is_read_or_refused_in_one_line(data: Any) -> None:
    for read in (Genome.from_dict, Schedule.from_dict):
        try:
            found: Any = read(data)
        except ValueError as error:
            one_line(str(error))
        else:
            assert read(json.loads(json.dumps(found.to_dict()))) == found


# --- checkpoints and exported weights ------------------------------------------------------------


@functools.cache
def whole_checkpoint() -> bytes:
    file = io.BytesIO()
    state = {"step": 3, "exp_avg": torch.arange(12.0)}
    checkpoint = Checkpoint(
        task="two_moons",
        seed=1,
        step=3,
        position=96,
        model={"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.ones(3)},
        optimizer={"state": {0: state}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        scaler={},
    )
    write_checkpoint(checkpoint, file)
    return file.getvalue()


@examples(60, 350)
@given(st.deferred(lambda: changed_bytes(whole_checkpoint())) | st.binary(max_size=99))
def test_a_spoilt_checkpoint_is_whole_or_refused(data: bytes) -> None:
    whole = read_checkpoint(io.BytesIO(whole_checkpoint()))
    try:
        with no_hang():
            found = read_checkpoint(io.BytesIO(data))
    except CheckpointError as error:
        one_line(str(error))
    else:  # the change was in what no reader reads
        assert vars(found).keys() == vars(whole).keys()
        assert all(torch.equal(found.model[key], whole.model[key]) for key in whole.model)


CHECKPOINT_TABLE = {
    "format": 1,
    "task": "a",
    "seed": 1,
    "step": 2,
    "position": 3,
    "model": {"w": [1.0]},
    "optimizer": {"state": {}, "param_groups": []},
    "scaler": {},
}


@examples(40, 150)
@given(changed_table([CHECKPOINT_TABLE]))
def test_a_checkpoint_of_other_things_is_refused(table: Any) -> None:
    file = io.BytesIO()
    torch.save(table, file)
    file.seek(0)
    try:
        found = read_checkpoint(file)
    except CheckpointError as error:
        one_line(str(error))
    else:
        assert isinstance(found.step, int) and found.step >= 0 and isinstance(found.task, str)
        assert isinstance(found.model, dict) and isinstance(found.optimizer, dict)


# --- tables --------------------------------------------------------------------------------------

CSV = b"x,y,colour,target\n" + b"".join(
    f"{i},{(i * 7) % 5}.5,{'red' if i % 3 else 'blue'},{i % 2}\n".encode() for i in range(30)
)


@functools.cache
def parquet() -> bytes:
    import pandas as pd

    file = io.BytesIO()
    pd.DataFrame({"x": np.arange(30.0), "target": np.arange(30) % 2}).to_parquet(file)
    return file.getvalue()


@examples(8, 200)
@given(
    st.sampled_from([".csv", ".tsv", ".json", ".csv.gz", ".arff", ".jsonl"]).flatmap(
        lambda ending: st.tuples(st.just(ending), changed_bytes(CSV))
    )
    | st.deferred(lambda: st.tuples(st.just(".parquet"), changed_bytes(parquet())))
)
def test_a_spoilt_table_is_read_or_refused_in_one_line(case: tuple[str, bytes]) -> None:
    ending, data = case
    with own_folder():
        Path(f"t{ending}").write_bytes(data)
        with no_hang(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load_table(f"t{ending}", target="target")
            except OptunaEvoError as error:
                one_line(str(error))


# --- what else stands in a database --------------------------------------------------------------


@functools.cache
def finished_database() -> bytes:
    from optuna_evo.spec import StudySpec

    with own_folder() as folder:
        storage = open_storage("sqlite:///a.db")
        spec = {
            "name": "s",
            "tasks": ["two_moons"],
            "n_trials": 3,
            "trainer": {"steps": 2},
            "sampler": {"name": "ga", "population_size": 2},
            "judge": {"seeds": 0},
        }
        run_study(create_study(StudySpec.from_dict(spec), storage), device="cpu")
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
        storage.engine.dispose()
        return (folder / "a.db").read_bytes()


TABLES = {
    "trial_user_attributes": "value_json",
    "trial_system_attributes": "value_json",
    "study_user_attributes": "value_json",
    "study_system_attributes": "value_json",
    "trial_params": "distribution_json",
    "trial_values": "value",
}


@examples(4, 200)
@given(st.sampled_from(sorted(TABLES)), st.integers(0, 40), JSON_VALUES)
def test_a_spoilt_value_in_a_database_is_shown_or_refused_in_one_line(
    table: str, row: int, value: Any
) -> None:
    with own_folder() as folder:
        (folder / "optuna_evo.db").write_bytes(finished_database())
        column = TABLES[table]
        with contextlib.closing(sqlite3.connect("optuna_evo.db")) as connection, connection:
            ids = [i for (i,) in connection.execute(f"SELECT rowid FROM {table}")]
            if not ids:
                return
            written: Any = json.dumps(value)
            with contextlib.suppress(sqlite3.Error):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
                    (written, ids[row % len(ids)]),
                )
        for command in ("list", "show", "export"):
            call("study", command, *(["s"] if command != "list" else []))

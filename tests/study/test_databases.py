"""The same study in SQLite, PostgreSQL, MariaDB, a journal and behind a proxy."""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import itertools
import math
from pathlib import Path
import re
import socket
from typing import Any

import optuna
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard import save_note
from optuna_dashboard._note import save_note_with_version
import pytest

from optuna_evo.errors import StorageError
from optuna_evo.search import open_storage
from optuna_evo.search import ResilientStorage
from optuna_evo.search import study_names
from optuna_evo.search._beats import Beats
from optuna_evo.study import copy_study
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from tests.cli.test_cli import call
from tests.cli.test_cli import run
from tests.cli.test_cli import SPEC
from tests.cli.test_cli import start
from tests.servers import MariaDB
from tests.servers import PostgreSQL
from tests.study.test_copying import segment_spec
from tests.study.test_study import finished
from tests.study.test_study import small_spec


# PyMySQL does not close the sockets of lost connections
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Heartbeat of storage"),
]
_NUMBERS = itertools.count()
_IDS = re.compile(r"(?<=dashboard:)\d+(?=:)")


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def opened() -> Iterator[Callable[[str], ResilientStorage]]:
    storages: list[ResilientStorage] = []

    def opened(url: str) -> ResilientStorage:
        storages.append(open_storage(url))
        return storages[-1]

    yield opened
    for storage in storages:
        storage.close()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[str]:
    """Run Optuna's proxy before an SQLite file and yield its URL."""
    pytest.importorskip("grpc")
    from optuna.storages._grpc.server import make_server

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    behind = open_storage(f"sqlite:///{tmp_path / 'behind.db'}")
    server = make_server(behind, "127.0.0.1", port, ThreadPoolExecutor(max_workers=4))
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()
    behind.close()


def new_name() -> str:
    return f"db{next(_NUMBERS)}"


def contents(study: optuna.Study) -> dict[str, Any]:
    """Return all that a study is, its trials' ids replaced by their numbers."""
    trials = study.get_trials()
    numbers = {str(t._trial_id): f"#{t.number}" for t in trials}
    attrs = study._storage.get_study_system_attrs(study._study_id)
    named = {_IDS.sub(lambda m: numbers.get(m[0], m[0]), key): v for key, v in attrs.items()}
    return {
        "directions": study.directions,
        "user": study.user_attrs,
        "system": named,
        "trials": [{k: v for k, v in vars(t).items() if k not in ("_trial_id",)} for t in trials],
    }


def test_a_study_in_a_journal_has_the_trials_of_one_in_memory(
    tmp_path: Path, opened: Callable[[str], ResilientStorage]
) -> None:
    url = f"journal://{tmp_path / 'a.log'}"
    stored = create_study(small_spec(), opened(url))
    run_study(stored, n_more=2, device="cpu")
    run_study(load_study("small", opened(url)), device="cpu")
    in_memory = create_study(small_spec(), opened("sqlite:///:memory:"))
    run_study(in_memory, device="cpu")
    again = load_study("small", opened(url)).study
    assert finished(again) == finished(in_memory.study)


def test_a_study_behind_a_proxy_has_the_trials_of_one_in_memory(
    proxied: str, opened: Callable[[str], ResilientStorage]
) -> None:
    stored = create_study(small_spec(n_trials=4), opened(proxied))
    run_study(stored, device="cpu")
    in_memory = create_study(small_spec(n_trials=4), opened("sqlite:///:memory:"))
    run_study(in_memory, device="cpu")
    assert finished(stored.study) == finished(in_memory.study)


@pytest.mark.slow
def test_two_workers_share_a_journal(tmp_path: Path) -> None:
    url = f"journal://{tmp_path / 'a.log'}"
    (tmp_path / "shared.toml").write_text(SPEC)
    run(tmp_path, "study", "create", "shared", "shared.toml", "--storage", url)
    command = ("study", "run", "shared", "--no-judge", "--storage", url)
    both = [start(tmp_path, *command) for _ in range(2)]
    assert [worker.wait() for worker in both] == [0, 0]
    trials = load_study("shared", open_storage(url)).study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(complete) in (8, 9)
    assert len({str(t.params) for t in complete}) == len(complete)


def test_a_worker_that_falls_silent_is_noticed_without_a_heartbeat_of_the_storage(
    tmp_path: Path,
) -> None:
    storage = open_storage(f"journal://{tmp_path / 'a.log'}")
    study = optuna.create_study(storage=storage)
    alive, silent, never = (study.ask()._trial_id for _ in range(3))
    now = [0.0]
    watch = Beats(storage, grace_period_s=120, clock=lambda: now[0])
    storage.record_heartbeat(alive)
    storage.record_heartbeat(silent)
    assert watch.stale(study._study_id) == []
    for now[0] in (60, 119):
        storage.record_heartbeat(alive)
        assert watch.stale(study._study_id) == []
    now[0] = 121
    assert watch.stale(study._study_id) == [silent]
    assert storage.get_heartbeat_interval() == 30
    late = Beats(storage, grace_period_s=120, clock=lambda: now[0])
    assert late.stale(study._study_id) == []  # it has seen nothing yet
    assert never not in watch.stale(study._study_id)


def test_trials_of_silent_workers_come_back_from_a_journal(tmp_path: Path) -> None:
    storage = open_storage(f"journal://{tmp_path / 'a.log'}")
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"x": 0.5})
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    storage.record_heartbeat(trial._trial_id)
    now = [0.0]
    storage._beats = Beats(storage, grace_period_s=120, clock=lambda: now[0])
    for now[0] in (1, 122):
        optuna.storages.fail_stale_trials(study)
    states = [(t.state, t.params) for t in study.get_trials()]
    assert states == [(TrialState.FAIL, {"x": 0.5}), (TrialState.WAITING, {"x": 0.5})]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("journal://", "A journal is named journal://FILE"),
        ("journal://no/such/a.log", "The folder no/such of journal no/such/a.log does not exist"),
        ("grpc://host", "A proxy is named grpc://HOST:PORT"),
        ("grpc://me:secret@host:1", "A proxy is named grpc://HOST:PORT"),
        ("grpc://host:99999", "A proxy is named grpc://HOST:PORT"),
    ],
)
def test_a_wrong_url_of_a_journal_or_a_proxy_is_one_line(url: str, told: str) -> None:
    with pytest.raises(StorageError, match=told) as caught:
        open_storage(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_journal_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.log"
    path.write_text("no journal\nat all\n")
    code, _, err = call(capsys, "study", "list", "--storage", f"journal://{path}")
    assert code == 1 and "is no journal of Optuna, or is damaged" in err
    code, _, err = call(capsys, "study", "list", "--storage", f"journal://{tmp_path / 'no'}")
    assert code == 1 and "There is no journal" in err and not (tmp_path / "no").exists()


@pytest.mark.mysql
def test_a_study_in_mariadb_has_the_trials_of_one_in_sqlite(
    mariadb: MariaDB, opened: Callable[[str], ResilientStorage]
) -> None:
    url = mariadb.new_database(new_name())
    on_server = create_study(small_spec(), opened(url))
    run_study(on_server, n_more=4, device="cpu")
    run_study(load_study("small", opened(url)), device="cpu")
    in_memory = create_study(small_spec(), opened("sqlite:///:memory:"))
    run_study(in_memory, device="cpu")
    assert finished(on_server.study) == finished(in_memory.study)


@pytest.mark.mysql
def test_two_workers_share_a_study_in_mariadb(mariadb: MariaDB, tmp_path: Path) -> None:
    url = mariadb.new_database(new_name())
    (tmp_path / "shared.toml").write_text(SPEC)
    run(tmp_path, "study", "create", "shared", "shared.toml", "--storage", url)
    command = ("study", "run", "shared", "--no-judge", "--storage", url)
    both = [start(tmp_path, *command) for _ in range(2)]
    assert [worker.wait() for worker in both] == [0, 0]
    storage = open_storage(url)
    trials = load_study("shared", storage).study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(complete) in (8, 9)
    assert len({str(t.params) for t in complete}) == len(complete)
    storage.close()


@pytest.mark.mysql
def test_mariadb_cuts_and_mistakes_nothing(
    mariadb: MariaDB, opened: Callable[[str], ResilientStorage]
) -> None:
    storage = opened(mariadb.new_database(new_name()))
    study = optuna.create_study(study_name="Study", storage=storage)
    optuna.create_study(study_name="study", storage=storage)
    assert study_names(storage) == ["Study", "study"]
    long = "é🧬" * 100_000
    study.set_user_attr("long", long)
    study.set_user_attr("LONG", 1)
    values = [0.1, 1 / 3, math.pi * 1e-300, -1.7976931348623157e308, 5e-324]

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("long", long)
        trial.suggest_float("LR", 0, 1)
        trial.suggest_float("lr", 1e-300, 1, log=True)
        trial.suggest_categorical("choice", [f"choice number {i}" for i in range(10_000)])
        trial.report(math.nan, 0)
        trial.report(math.inf, 1)
        return values[trial.number]

    study.optimize(objective, n_trials=5)
    again = optuna.load_study(study_name="Study", storage=opened(storage.url))
    assert again.user_attrs == {"long": long, "LONG": 1}
    assert [t.value for t in again.trials] == values
    for trial, kept in zip(study.trials, again.trials, strict=True):
        assert trial.params == kept.params and {*kept.params} == {"LR", "lr", "choice"}
        assert kept.user_attrs["long"] == long
        assert math.isnan(kept.intermediate_values[0])
        assert trial.datetime_start == kept.datetime_start


@pytest.mark.mysql
def test_a_database_of_others_in_mariadb_is_left_alone_until_it_is_upgraded(
    mariadb: MariaDB, capsys: pytest.CaptureFixture[str]
) -> None:
    url = mariadb.new_database(new_name())
    optuna.create_study(study_name="theirs", storage=url)
    storage = open_storage(url)
    study = optuna.load_study(study_name="theirs", storage=storage)
    with pytest.raises(StorageError, match="refused: Data too long for column 'value_json'"):
        study.set_user_attr("long", "x" * 70_000)
    code, out, err = call(capsys, "study", "upgrade", "--storage", url)
    assert (code, err) == (0, "")
    assert out.startswith("Texts of any length, exact names and times.\n")
    study.set_user_attr("long", "x" * 70_000)
    storage.close()


@pytest.mark.mysql
@pytest.mark.parametrize("make", [small_spec, segment_spec])
def test_a_study_that_went_through_all_databases_is_what_it_was(
    make: Callable[..., Any],
    mariadb: MariaDB,
    postgres: PostgreSQL,
    opened: Callable[[str], ResilientStorage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make(n_trials=8)
    urls = [
        f"sqlite:///{tmp_path / 'a.db'}",
        postgres.new_database(new_name()),
        mariadb.new_database(new_name()),
        f"sqlite:///{tmp_path / 'b.db'}",
    ]
    first = create_study(spec, opened(urls[0]))
    run_study(first, n_more=5, device="cpu", checkpoints=str(tmp_path / "0"))
    first.study.enqueue_trial({"lr": 0.02})
    save_note(first.study, "a note\n" * 1000)
    second = first.study.get_trials()[2]._trial_id
    save_note_with_version(first.study._storage, first.study._study_id, second, 1, "of trial 2")
    studies = [first.study]
    for number, url in enumerate(urls[1:]):
        optuna.create_study(storage=opened(url)).add_trial(optuna.create_trial(value=0.0))
        copy_study(
            spec.name,
            spec.name,
            opened(urls[number]),
            to=opened(url),
            checkpoints=str(tmp_path / str(number)),
            new_checkpoints=str(tmp_path / str(number + 1)),
        )
        studies.append(load_study(spec.name, opened(url)).study)
    held = [contents(study) for study in studies]
    for each in held:  # it says where its own checkpoints are
        each["user"] = {k: v for k, v in each["user"].items() if not k.endswith("spec")}
    assert held[1] == held[0] and held[2] == held[0] and held[3] == held[0]
    assert get_note(studies[3]) == "a note\n" * 1000
    for number, url in enumerate(urls):
        run_study(
            load_study(spec.name, opened(url)),
            device="cpu",
            checkpoints=str(tmp_path / str(number)),
        )
    ends = [finished(load_study(spec.name, opened(url)).study) for url in urls]
    assert len(ends[0]) == 8 and ends[1] == ends[0] and ends[2] == ends[0] and ends[3] == ends[0]

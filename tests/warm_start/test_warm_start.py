"""Studies that start from what others found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
import pytest

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.errors import SourceWarning
from optuna_evo.errors import StudyMismatchError
from optuna_evo.errors import UsageError
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_sampler
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import refresh_sources
from optuna_evo.study import run_study
from optuna_evo.warm_start import read_references
from optuna_evo.warm_start import read_weights
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import SourceReader
from tests.cli.test_cli import call
from tests.cli.test_cli import folder as folder  # a fixture
from tests.study.test_study import small_spec


NAMES = ("lr", "weight_decay", "batch_size", "dropout")


def training_spec(name: str, **changes: Any) -> StudySpec:
    data = {
        "name": name,
        "space": {"name": "training"},
        "sampler": {"name": "random"},
        "objective": {"name": "accuracy", "reports": 2},
        "judge": {"seeds": 0},
    }
    return small_spec(**(data | changes))


def old_study(
    storage: Any,
    name: str = "old",
    *,
    best_lr: float = 2e-3,
    direction: str = "maximize",
    parameter: str = "lr",
    n_trials: int = 12,
) -> optuna.Study:
    """Make a study of another program, whose best learning rate is known."""
    import numpy as np

    study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    sign = -1 if direction == "maximize" else 1
    for lr in [best_lr, *np.geomspace(1e-4, 1e-2, n_trials - 1).tolist()]:
        study.add_trial(
            optuna.create_trial(
                value=sign * float(np.log(lr / best_lr) ** 2),
                params={parameter: lr},
                distributions={parameter: FloatDistribution(1e-4, 1e-2, log=True)},
            )
        )
    return study


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.RDBStorage:
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def sources_of(sampler: optuna.samplers.BaseSampler) -> list[str]:
    assert isinstance(sampler, MetaPriorSampler)
    return [source.name for source in sampler.sources]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_first_trial_is_near_the_best_of_the_source(storage: Any, direction: str) -> None:
    old_study(storage, direction=direction)
    stored = create_study(training_spec("new", warm_start=["old"]), storage)
    run_study(stored, n_more=1, device="cpu")
    (trial,) = stored.study.get_trials()
    assert PROPOSED_BY.read(trial.user_attrs) == "portfolio"
    assert trial.params["lr"] == pytest.approx(2e-3, rel=0.5)
    assert set(trial.params) == set(NAMES)
    assert 0 <= read_weights(stored.study)["old"] <= 1


@pytest.mark.slow
def test_a_warm_study_that_was_stopped_goes_on_to_the_same_trials(tmp_path: Path) -> None:
    finished = []
    for parts in ([None], [3, None]):
        url = f"sqlite:///{tmp_path / str(len(parts))}.db"
        old_study(open_storage(url))
        spec = training_spec("new", warm_start=["old"], sampler={"name": "meta"}, n_trials=6)
        create_study(spec, open_storage(url))
        for n in parts:
            run_study(load_study("new", open_storage(url)), n_more=n, device="cpu")
        trials = load_study("new", open_storage(url)).study.get_trials()
        finished.append([(t.params, t.value, PROPOSED_BY.read(t.user_attrs)) for t in trials])
    assert finished[0] == finished[1]
    assert "portfolio" in {by for *_, by in finished[0]}


def test_any_worker_starts_from_the_same_sources(storage: Any, tmp_path: Path) -> None:
    old_study(open_storage(f"sqlite:///{tmp_path / 'b.db'}"))
    text = f"sqlite:///{tmp_path / 'b.db'}#old"
    old_study(storage)
    spec = training_spec("new", warm_start=["old", text], sampler={"name": "tpe"})
    create_study(spec, storage)
    stored = load_study("new", open_storage(f"sqlite:///{tmp_path / 'a.db'}"))
    assert sources_of(stored.study.sampler) == ["old", text]
    assert type(stored.study.sampler._base) is optuna.samplers.TPESampler  # type: ignore[attr-defined]
    assert stored.spec.warm_start == ("old", text)


def test_auto_takes_finished_studies_of_the_same_space(storage: Any) -> None:
    run_study(create_study(training_spec("same", n_trials=1), storage), device="cpu")
    narrower = {"name": "training", "lr": [1e-3, 1e-2], "dropout": None}
    run_study(create_study(training_spec("narrow", n_trials=1, space=narrower), storage))
    run_study(create_study(training_spec("unfinished"), storage), n_more=1, device="cpu")
    run_study(create_study(small_spec(n_trials=1), storage), device="cpu")  # space of genomes
    old_study(storage, "one of the parameters")
    optuna.create_study(study_name="empty", storage=storage)
    optuna.create_study(study_name="pareto", storage=storage, directions=["maximize"] * 2)
    foreign = optuna.create_study(study_name="foreign", storage=storage)
    foreign.enqueue_trial({})
    foreign.optimize(lambda t: sum(t.suggest_float(n, 0, 1) for n in NAMES), n_trials=2)
    stored = create_study(training_spec("new", warm_start=["auto"]), storage)
    assert {str(r) for r in read_references(stored.study)} == {"same", "narrow", "foreign"}
    assert create_study(training_spec("new", warm_start=["auto"]), storage, exist_ok=True)


def test_auto_leaves_out_what_the_study_is_compared_with(storage: Any) -> None:
    for name in ("c/tpe/0", "d/tpe/0"):
        run_study(create_study(training_spec(name, n_trials=1), storage), device="cpu")
    stored = create_study(training_spec("c/meta/0", warm_start=["auto"]), storage)
    assert read_references(stored.study) == [Reference("d/tpe/0")]


def test_nothing_to_start_from_is_a_cold_start_that_a_refresh_may_warm(storage: Any) -> None:
    stored = create_study(training_spec("new", warm_start=["auto"]), storage)
    assert type(stored.study.sampler) is optuna.samplers.RandomSampler
    run_study(create_study(training_spec("later", n_trials=1), storage), device="cpu")
    reader = SourceReader(storage)
    assert refresh_sources(stored, reader) == [Reference("later")]
    assert refresh_sources(stored, reader) == []
    assert sources_of(load_study("new", storage).study.sampler) == ["later"]


@pytest.mark.parametrize(
    ("warm_start", "message"),
    [
        (["nope"], "There is no study 'nope' in this database to start from; there are: empty"),
        (["new"], "Study 'new' cannot start from itself"),
        (["pareto"], "Study 'pareto' has 2 objectives"),
        (["empty"], "Study 'empty' has no complete trial with a finite value"),
        (["x"], "Study 'x' has no parameter in common with this one: it has size; this one batch"),
    ],
)
def test_a_wrong_source_is_said_and_nothing_is_written(
    storage: Any, warm_start: list[str], message: str
) -> None:
    optuna.create_study(study_name="empty", storage=storage)
    optuna.create_study(study_name="pareto", storage=storage, directions=["maximize"] * 2)
    old_study(storage, "x", parameter="size")
    with pytest.raises(UsageError, match=message):
        create_study(training_spec("new", warm_start=warm_start), storage)
    assert "new" not in optuna.get_all_study_names(storage)


def test_a_study_goes_on_without_a_source_that_vanished_with_one_warning(storage: Any) -> None:
    old_study(storage)
    old_study(storage, "gone")
    create_study(training_spec("new", warm_start=["old", "gone"]), storage)
    optuna.delete_study(study_name="gone", storage=storage)
    with pytest.warns(SourceWarning, match="Going on without source gone: There is no") as caught:
        stored = load_study("new", storage)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert sources_of(stored.study.sampler) == ["old"]
    assert load_study("new", storage, to_run=False).spec == stored.spec


def test_a_password_is_never_stored(storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def fake_server(url: str, **_: Any) -> Any:
        opened.append(url)
        return open_storage(storage.url)

    monkeypatch.setattr("optuna_evo.warm_start._sources.open_storage", fake_server)
    old_study(storage)
    spec = training_spec("new", warm_start=["postgresql://me:secret@host/db#old"])
    stored = create_study(spec, storage)
    assert opened == ["postgresql://me:secret@host/db"]  # and not again to load the study
    assert sources_of(stored.study.sampler) == ["postgresql://me@host/db#old"]
    assert "secret" not in str(stored.study.user_attrs)
    load_study("new", storage)
    assert opened[1:] == ["postgresql://me@host/db"]


def test_sources_and_databases_are_read_once(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna_evo.samplers import read_source

    n_read: list[str] = []

    def counted(study: optuna.Study) -> Any:
        n_read.append(study.study_name)
        return read_source(study)

    monkeypatch.setattr("optuna_evo.warm_start._sources.read_source", counted)
    old_study(storage)
    reader = SourceReader(storage)
    for name in ("a", "b"):
        create_study(training_spec(name, warm_start=["old"]), storage, reader=reader)
    assert n_read == ["old"]


def test_the_choice_of_sources_is_part_of_the_spec(storage: Any) -> None:
    old_study(storage)
    create_study(training_spec("new", warm_start=["old"]), storage)
    with pytest.raises(StudyMismatchError, match='warm_start was \\["old"\\], now \\[\\]'):
        create_study(training_spec("new"), storage, exist_ok=True)


def test_meta_searches_by_itself_and_priors_give_any_sampler_a_belief() -> None:
    meta = build_sampler(training_spec("a", sampler={"name": "meta"}), 0)
    assert isinstance(meta, MetaPriorSampler) and meta._base is None
    priors = {"lr": {"center": 3e-4, "spread": 3}}
    believing = build_sampler(training_spec("a", priors=priors), 0)
    assert isinstance(believing, MetaPriorSampler)
    assert type(believing._base) is optuna.samplers.RandomSampler
    assert type(build_sampler(training_spec("a"), 0)) is optuna.samplers.RandomSampler


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priors": {"rate": {"center": 1}}}, "Prior of 'rate': the space has no such parameter"),
        ({"priors": {"lr": {"centre": 1e-3}}}, "Prior of 'lr' must be a table such as"),
        ({"priors": {"lr": {"center": 7.0}}}, "`center` must be a number in the range"),
        ({"priors": {"lr": {"center": 1e-3, "spread": 0.5}}}, "is a factor above 1"),
        ({"sampler": {"name": "ga", "first": [{"rate": 1}]}}, "first\\[0\\]: the space has no"),
        ({"sampler": {"name": "hybrid", "first": [{"lr": 7.0}]}}, "first\\[0\\]: 'lr' must be a"),
        ({"sampler": {"name": "thompson", "first": {"lr": 1}}}, "`sampler.first` must be a list"),
        ({"priors": {"lr": 3}}, "`priors.lr` must be a table, got 3"),
        ({"warm_start": "auto"}, "`warm_start` must be a list, got 'auto'"),
        ({"sampler": {"name": "meta", "base": "tpe"}}, "Unknown key 'base' in \\[sampler\\]"),
    ],
)
def test_wrong_priors_and_sources_are_said_before_anything_is_written(
    storage: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        create_study(training_spec("new", **changes), storage)
    assert optuna.get_all_study_names(storage) == []


SPEC = """
tasks = ["two_moons"]
n_trials = 3
space = { name = "training" }
sampler = { name = "tpe" }
trainer = { steps = 4 }
objective = { name = "accuracy", reports = 2 }
"""


@pytest.fixture
def old_db(folder: Path) -> str:
    (folder / "train.toml").write_text(SPEC)
    old_study(open_storage(f"sqlite:///{folder / 'old.db'}"))
    return f"sqlite:///{folder / 'old.db'}"


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Call:
    return lambda *args: call(capsys, "study", *args)


def test_the_command_line_warm_starts_from_another_database(
    folder: Path, old_db: str, run_cli: Call
) -> None:
    create = ("create", "new", "train.toml", "--warm-start", "sqlite:///old.db#old")
    code, out, err = run_cli(*create, "--set", "priors.dropout.center=0.3")
    assert (code, err) == (0, "") and f"Starts from {old_db}#old." in out
    code, out, err = run_cli("run", "new")
    assert code == 0 and "Warning" not in err and "3 complete" in out
    stored = load_study("new", open_storage("sqlite:///optuna_evo.db"))
    assert stored.study.get_trials()[0].params["lr"] == pytest.approx(2e-3, rel=0.5)
    assert f"{old_db}#old 0." in run_cli("show", "new")[1].replace("\n", "")


def test_the_command_line_says_what_is_gone_and_goes_on(
    folder: Path, old_db: str, run_cli: Call
) -> None:
    args = ("run", "train.toml", "--warm-start", "sqlite:///old.db#old", "--trials", "1")
    assert run_cli(*args)[0] == 0
    (folder / "old.db").rename(folder / "elsewhere.db")
    code, _, err = run_cli("run", "train", "--trials", "1")
    assert code == 0 and err.count("Warning") == 1
    assert err.startswith(f"Warning: Going on without source {old_db}#old: There is no database")
    assert run_cli("show", "train")[2] == ""  # looking at it needs no source


def test_a_wrong_source_on_the_command_line_leaves_no_file(
    folder: Path, old_db: str, run_cli: Call
) -> None:
    before = sorted(folder.iterdir())
    for source, message in (("nope", "no study 'nope' in this"), ("sqlite:///x.db#a", "no data")):
        code, _, err = run_cli("create", "new", "train.toml", "--warm-start", source)
        assert code in (1, 2) and message in err and err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    code, _, err = run_cli("run", "name", "--warm-start", "old")
    assert code == 2 and "--warm-start goes with a SPEC file" in err


def test_sources_are_shown_and_refreshed(folder: Path, old_db: str, run_cli: Call) -> None:
    assert run_cli("run", "train.toml", "--warm-start", "auto", "--trials", "1")[0] == 0
    assert "starts from no other study: auto found none." in run_cli("sources", "train")[1]
    other = ("--set", "n_trials=6", "--set", "name=other")
    assert run_cli("run", "train.toml", *other)[0] == 0
    code, out, err = run_cli("sources", "train", "--refresh")
    assert (code, err) == (0, "")
    assert "New sources: other." in out and "4 of 4" in out
    assert "Warning" not in run_cli("run", "train", "--trials", "1")[2]
    assert "portfolio" in run_cli("sources", "train")[1]

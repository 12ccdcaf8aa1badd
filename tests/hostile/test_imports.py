"""A stored spec is data from others: nothing that it names is imported unless the user allows."""

import copy
import json
from pathlib import Path
import pickle
import subprocess
import sys
from typing import Any

import optuna
import pytest

from optuna_evo.attributes import SPEC
from optuna_evo.cli import main
from optuna_evo.errors import PluginError
from optuna_evo.plugins import Allowance
from optuna_evo.plugins import load_attribute
from optuna_evo.plugins import StoredName
from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import best_settings
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study


SPEC_FILE = """
tasks = ["two_moons"]
n_trials = 2
sampler = { name = "random" }
trainer = { steps = 2 }
judge = { seeds = 0 }
"""
# Says that it was imported, or called, by files beside it; parts of all kinds that work.
OWN = """
import os
from pathlib import Path
import optuna
from subprocess import call
from optuna_evo import tasks
Path("imported").touch()
def sampler(command="", seed=None):
    Path("called").touch()
    return optuna.samplers.RandomSampler(seed=seed)
def pruner(command=""):
    Path("called").touch()
    return optuna.pruners.NopPruner()
def space(trial, command=""):
    Path("called").touch()
    from optuna_evo.spaces import training_space
    return training_space(trial, dropout=False)
def task():
    return tasks.get("two_moons")
def objective(trial):
    Path("called").touch()
    return trial.suggest_float("x", 0, 1)
"""
COMMANDS = (
    ("run", "s", "--device", "cpu"),
    ("show", "s"),
    ("list",),
    ("report", "s"),
    ("export", "s"),
    ("export", "s", "--weights", "model"),
    ("export", "s", "--schedule", "a.json"),
    ("sources", "s"),
    ("sources", "s", "--refresh"),
    tuple("judge s --tasks two_moons+width=8 --against adam --budget 1 --seeds 2".split()),
    ("lineage", "s"),
    ("copy", "s", "copied"),
    ("create", "s", "s.toml"),
    ("run", "s.toml", "--name", "s"),
    ("run", "run.py:objective", "--name", "s"),
    ("create", "new", "s.toml", "--warm-start", "s"),
    ("create", "newer", "s.toml", "--warm-start", "auto"),
    ("compare-samplers", "s.toml", "--samplers", "random", "--seeds", "1", "--device", "cpu"),
)
CHANGES: dict[str, dict[str, Any]] = {
    "sampler": {"sampler": {"name": "evil:sampler", "options": {"command": "x"}}},
    "pruner": {"pruner": {"name": "evil:pruner", "options": {"command": "x"}}},
    "space": {"space": {"name": "evil:space", "options": {"command": "x"}}},
    "tasks": {"tasks": ["evil:task"]},
    "objective": {"objective": {"name": "evil:objective"}},
    "file": {"objective": {"name": "evil.py:objective"}, "space": {"name": "evil.py:objective"}},
    "system": {"sampler": {"name": "os:system", "options": {"command": "touch called"}}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.toml").write_text(SPEC_FILE)
    (tmp_path / "evil.py").write_text(OWN)
    (tmp_path / "run.py").write_text("def objective(trial): return trial.suggest_float('x', 0, 1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("evil", "own", "run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert isinstance(caught.value.code, int)
    return caught.value.code, "".join(capsys.readouterr())


def spoil(changes: dict[str, Any], name: str = "s") -> None:
    """Write another spec into the database, as anybody who can write to it could."""
    storage = open_storage("sqlite:///optuna_evo.db")
    study = optuna.load_study(study_name=name, storage=storage)
    study.set_user_attr(SPEC.key, {**study.user_attrs[SPEC.key], **changes})


def nothing_ran() -> None:
    assert not Path("imported").exists() and not Path("called").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "kind",
    [k if k in ("sampler", "file") else pytest.param(k, marks=pytest.mark.slow) for k in CHANGES],
)
def test_no_command_imports_what_a_stored_spec_names(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "study", "run", "s.toml", "--name", "s", "--device", "cpu")[0] == 0
    spoil(CHANGES[kind])
    for command in COMMANDS:
        code, told = call(capsys, "study", *command)
        nothing_ran()
        assert "Traceback" not in told, (command, told)
        if command == ("run", "s", "--device", "cpu"):
            assert code == 2 and "--allow-import" in told and told.count("\n") == 1, told
    assert call(capsys, "study", "delete", "s", "--yes")[0] == 0
    nothing_ran()


def test_no_function_of_a_loaded_study_imports_what_it_names(folder: Path) -> None:
    storage = open_storage("sqlite:///optuna_evo.db")
    spec = StudySpec.from_dict(
        {"name": "s", "tasks": ["two_moons"], "n_trials": 2, "trainer": {"steps": 2}}
    )
    run_study(create_study(spec, storage), device="cpu")
    for changes in CHANGES.values():
        spoil({**spec.to_dict(), **changes})
        stored = load_study("s", storage, to_run=False)
        for use in (
            lambda stored: load_study("s", storage),
            lambda stored: load_study("s", storage, allow_import=["other", "evil_parts", "e.py"]),
            lambda stored: build_objective(stored.spec, device="cpu"),
            lambda stored: build_space(stored.spec),
            lambda stored: best_settings(stored),
            lambda stored: run_study(stored, device="cpu"),
            lambda stored: create_study(copy.deepcopy(stored.spec), storage, exist_ok=True),
        ):
            try:
                use(stored)
            except Exception as error:
                assert "\n" not in str(error)
            nothing_ran()


@pytest.mark.parametrize(
    "allow",
    [
        ["--allow-import", "evil"],
        ["--allow-import", "other", "--allow-import", "evil"],
        "evil",
        "toml",
    ],
)
def test_what_the_user_allows_runs(
    allow: list[str] | str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call(capsys, "study", "create", "s", "s.toml")
    spoil(CHANGES["sampler"])
    assert call(capsys, "study", "run", "s", "--device", "cpu")[0] == 2
    if allow == "toml":
        Path("optuna_evo.toml").write_text('allow_import = ["evil"]')
    elif isinstance(allow, str):
        monkeypatch.setenv("OPTUNA_EVO_ALLOW_IMPORT", f"other {allow}")
    more = allow if isinstance(allow, list) else []
    code, told = call(capsys, "study", "run", "s", "--device", "cpu", *more)
    assert code == 0 and Path("called").exists(), told


def test_a_file_is_allowed_by_its_path_however_written(folder: Path) -> None:
    allowed = Allowance.of(["evil.py"])
    assert allowed.allows("./evil.py:objective") and allowed.allows(f"{folder}/evil.py:objective")
    assert not allowed.allows("other/evil.py:objective") and not allowed.allows("evil:objective")
    assert not Allowance.of(["ev"]).allows("evil:x") and Allowance.of(["a"]).allows("a.b:c")
    assert not Allowance.of(["a.b"]).allows("a:c")


@pytest.mark.parametrize("module", ["", ".", "..a", "a b", "evil:x", "/", "-"])
def test_what_is_no_module_cannot_be_allowed(module: str) -> None:
    with pytest.raises(PluginError, match='named "package" or "FILE.py"'):
        Allowance.of([module])


@pytest.mark.parametrize(
    "name", ["evil:os.system", "evil:call", "evil:optuna.samplers.TPESampler"]
)
def test_an_allowed_module_does_not_bring_what_it_imports(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(PluginError, match="belongs to the module"):
        load_attribute(StoredName.read(name, Allowance.of(["evil"])))
    with pytest.raises(PluginError, match="belongs to the module"):
        file = name.replace("evil", "evil.py")
        load_attribute(StoredName.read(file, Allowance.of(["evil.py"])))
    assert callable(load_attribute(StoredName.read("evil:sampler", Allowance.of(["evil"]))))
    assert callable(load_attribute(StoredName.read("evil.py:task", Allowance.of(["evil.py"]))))


def test_a_stored_name_stays_one_in_copies_and_pickles_and_is_a_text_as_json() -> None:
    name = StoredName.read("os:system", Allowance.of(["own"]))
    for same in (copy.deepcopy(name), pickle.loads(pickle.dumps(name)), copy.copy(name)):
        assert isinstance(same, StoredName) and same.allowance == Allowance.of(["own"])
    assert json.loads(json.dumps({"a": name})) == {"a": "os:system"}


# --- what makes it easy for who made the study ---------------------------------------------------

OWN_SPEC = SPEC_FILE.replace('"two_moons"', '"own:task"').replace('"random"', '"own:sampler"')


def test_who_made_a_study_runs_and_shows_it_without_an_option(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.py").write_text(OWN)
    Path("own.toml").write_text(OWN_SPEC)
    assert call(capsys, "study", "create", "mine", "own.toml")[0] == 0
    for command in ("run", "show", "export", "report"):
        code, told = call(capsys, "study", command, "mine")
        assert code == 0, told
    assert call(capsys, "study", "copy", "mine", "copied")[0] == 0
    assert call(capsys, "study", "run", "copied")[0] == 0
    # the same database is another user's as well
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "another"))
    code, told = call(capsys, "study", "run", "mine")
    assert code == 2 and "--allow-import own" in told
    assert call(capsys, "study", "run", "mine", "--allow-import", "own")[0] == 0
    assert call(capsys, "study", "show", "mine")[0] == 0  # needs nothing of it but the space


def test_another_name_in_the_database_is_another_question(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.py").write_text(OWN)
    Path("own.toml").write_text(OWN_SPEC)
    assert call(capsys, "study", "create", "mine", "own.toml")[0] == 0
    Path("imported").unlink()
    Path("called").unlink()
    spoil({"sampler": {"name": "own:pruner", "options": {}}}, "mine")
    code, told = call(capsys, "study", "run", "mine")
    assert code == 2 and "'own:pruner'" in told and not Path("called").exists()


def test_a_function_of_the_command_line_brings_no_part_of_the_stored_spec(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("study", "run", "run.py:objective", "--trials", "2")
    assert call(capsys, *run)[0] == 0
    assert call(capsys, *run)[0] == 0  # the same command again
    assert call(capsys, "study", "run", "run/objective", "--trials", "2")[0] == 0
    spoil(CHANGES["sampler"], "run/objective")
    code, told = call(capsys, *run)
    assert code == 2 and "--allow-import evil" in told
    nothing_ran()


def test_a_deleted_study_is_forgotten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "study", "run", "run.py:objective", "--trials", "1")[0] == 0
    (kept,) = (folder / "state" / "optuna_evo" / "allowed").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    assert call(capsys, "study", "delete", "run/objective", "--yes")[0] == 0
    assert not kept.exists()


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ('allow_import = "evil"', 0o644, "must be a list of names"),
        ("allow_import = [1]", 0o644, "must be a list of names"),
        ('allow = ["evil"]', 0o644, "Unknown key 'allow'"),
        ("allow_import = [", 0o644, "not valid TOML"),
        ('allow_import = ["a b"]', 0o644, 'named "package" or "FILE.py"'),
        ('allow_import = ["evil"]', 0o666, "not yours alone"),
    ],
)
def test_a_wrong_list_of_allowed_modules_is_refused_in_one_line(
    text: str, mode: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "study", "create", "s", "s.toml")
    Path("optuna_evo.toml").write_text(text)
    Path("optuna_evo.toml").chmod(mode)
    code, told = call(capsys, "study", "show", "s")
    assert code == 2 and message in told and told.count("\n") == 1
    nothing_ran()


def test_what_is_kept_counts_only_where_nobody_else_can_write_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.py").write_text(OWN)
    Path("own.toml").write_text(OWN_SPEC)
    assert call(capsys, "study", "create", "mine", "own.toml")[0] == 0
    (kept,) = (folder / "state" / "optuna_evo" / "allowed").iterdir()
    kept.chmod(0o622)
    assert call(capsys, "study", "run", "mine")[0] == 2
    kept.chmod(0o600)
    kept.write_text("[")
    assert call(capsys, "study", "run", "mine")[0] == 2


# --- libraries and the working folder ------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [pytest.param("s.toml", marks=pytest.mark.slow), "run.py:objective"]
)
def test_a_file_in_the_working_folder_shadows_no_library(target: str, folder: Path) -> None:
    for name in ("rich", "click", "optuna", "sqlalchemy", "torch", "numpy", "sklearn", "yaml"):
        Path(f"{name}.py").write_text("open('shadowed', 'w'); raise SystemExit('shadowed')")
    command = [sys.executable, "-m", "optuna_evo.cli", "study", "run", target, "--trials", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not Path("shadowed").exists()


def test_an_own_file_that_is_called_like_a_library_does_not_take_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.py").rename("filelock.py")  # a library that is not loaded yet
    sys.modules.pop("filelock", None)
    code, told = call(capsys, "study", "run", "filelock.py:objective", "--trials", "1")
    assert code == 0, told
    import filelock

    assert hasattr(filelock, "FileLock")

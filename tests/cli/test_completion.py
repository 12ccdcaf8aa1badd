"""What Tab completes: at once, from the database that the line names, silent on all errors."""

from collections.abc import Iterable
import os
from pathlib import Path
import subprocess
import sys

from click.shell_completion import CompletionItem
from click.shell_completion import ShellComplete
import optuna
import pytest

from optuna_evo.cli import cli
from optuna_evo.cli._completion import DEFAULT_URL
from optuna_evo.cli._completion import PRUNERS
from optuna_evo.cli._completion import SAMPLERS
from optuna_evo.search import default_url
from optuna_evo.study import _parts


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    return tmp_path


def studies(url: str, names: Iterable[str]) -> None:
    for name in names:
        optuna.create_study(study_name=name, storage=url)


def items(line: str) -> list[CompletionItem]:
    *words, incomplete = line.split(" ")
    complete = ShellComplete(cli, {}, "optuna_evo", "_OPTUNA_EVO_COMPLETE")
    return complete.get_completions(words, incomplete)


def completed(line: str) -> list[str]:
    return [item.value for item in items(line) if item.type == "plain"]


def test_commands_and_options_are_completed() -> None:
    assert "show" in completed("study s") and "--trials" in completed("study run --t")


def test_studies_are_completed_from_the_database_in_the_working_folder() -> None:
    studies(DEFAULT_URL, ["mine", "mnist", "other"])
    assert completed("study show m") == ["mine", "mnist"]
    assert completed("study show ") == ["mine", "mnist", "other"]
    assert completed("study run n --warm-start ") == ["mine", "mnist", "other", "auto"]


def test_the_database_is_the_one_the_line_or_the_environment_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{folder}/with space #1.db"
    studies(url, ["a"])
    studies("sqlite:///there.db", ["b"])
    monkeypatch.setenv("OPTUNA_EVO_STORAGE", url)
    assert completed("study show ") == ["a"]
    assert completed("study show --storage sqlite:///there.db ") == ["b"]


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite:///missing.db",
        "sqlite:///broken.db",
        "postgresql://127.0.0.1:9/none",
        "mysql+nothing://a",
        "",
    ],
)
def test_where_no_names_can_be_read_nothing_is_printed_or_made(
    url: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.db").write_text("no database")
    monkeypatch.setenv("OPTUNA_EVO_STORAGE", url)
    assert completed("study show ") == []
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in folder.iterdir()] == ["broken.db"]


def test_a_new_name_is_not_completed_from_old_ones_and_files_are_completed() -> None:
    studies(DEFAULT_URL, ["mine"])
    assert completed("study create ") == []
    assert [item.type for item in items("study create new ")] == ["file"]
    assert [item.type for item in items("study run ")] == ["file", "plain"]


def test_samplers_are_completed_one_by_one() -> None:
    line = "study compare-samplers a.toml --samplers "
    assert completed(line + "random,t") == ["random,thompson", "random,tpe"]
    assert completed("study run a --device c") == ["cpu", "cuda"]


def test_the_names_that_stand_in_the_completion_are_those_of_the_registry() -> None:
    assert sorted(SAMPLERS) == sorted(_parts.SAMPLERS)
    assert sorted(PRUNERS) == sorted(_parts.PRUNERS)
    assert default_url() == DEFAULT_URL


def test_completing_studies_loads_neither_torch_nor_optuna(folder: Path) -> None:
    studies(DEFAULT_URL, ["mine"])
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print({'torch', 'optuna', 'sqlalchemy'} & {*sys.modules}))\n"
        "from optuna_evo.cli import main\nmain()"
    )
    env = {"COMP_WORDS": "optuna_evo study show ", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env | {"_OPTUNA_EVO_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,mine", "set()"] and done.stderr == ""

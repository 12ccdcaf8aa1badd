"""Names and addresses from elsewhere on the command line: nothing breaks, nothing leaks."""

import html
import json
from pathlib import Path
import sqlite3
from typing import Any

import optuna
import pytest
from rich.console import Console

from optuna_evo.cli import main
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import JudgeRow
from optuna_evo.names import file_stem
from optuna_evo.names import printable
from optuna_evo.names import quoted
from optuna_evo.names import shown_url
from optuna_evo.names import without_secrets
from optuna_evo.reports import draw_judgement
from optuna_evo.reports import study_note
from optuna_evo.reports._summary import StudySummary
from optuna_evo.search import open_storage
from optuna_evo.search import study_names
from optuna_evo.warm_start import Reference


SPEC = """
tasks = ["two_moons"]
n_trials = 2
sampler = { name = "random" }
trainer = { steps = 2 }
judge = { seeds = 0 }
"""
NAMES = (
    "[/red]",
    "[bold]x[/bold]",
    "[link=file:///etc]x",
    ":smile:",
    "\x1b[31mred\x1b[0m",
    "a\nb\r\tc",
    "it's a `$(name)`",
    "-x; rm *",
    "n" * 300,
    "ü" * 200,
    "../../up",
    "a$\\frac$",
    "100 % {x} \\[y]",
    "\u202eright",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    monkeypatch.setenv("COLUMNS", "1000")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    assert "\x1b" not in out + err and "\u202e" not in out + err
    return caught.value.code, out, err


def runs(name: str) -> str:
    """Return how the command line that runs a study is shown."""
    end = f"-- {quoted(name)}" if name.startswith("-") else quoted(name)
    return f"optuna_evo study run {end}"


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_any_name_is_created_run_listed_shown_and_drawn(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "study", "create", "--", name, "s.toml")
    assert code == 0, err
    assert runs(name) in out
    call(capsys, "study", "create", "plain", "s.toml")
    code, out, err = call(capsys, "study", "run", "--device", "cpu", "--trials", "1", "--", name)
    assert code == 0, err
    assert "1 trials are left." in out and runs(name) in out
    code, out, err = call(capsys, "study", "list")
    assert code == 0 and printable(name) in out and "plain" in out, err
    code, out, err = call(capsys, "study", "show", "--", name)
    assert code == 0 and printable(name) in out, err
    code, out, err = call(capsys, "study", "report", "--", name)
    assert code == 0, err
    (page,) = Path().glob("*.html")
    assert page.name == f"{file_stem(name)}.html"
    assert html.escape(printable(name)) in page.read_text(encoding="utf-8")
    code, _, err = call(capsys, "study", "create", "--", name, "s.toml")
    assert code == 2 and f"study run {quoted(name)}" in err.replace("\\\\", "\\")
    assert call(capsys, "study", "delete", "--yes", "--", name)[0] == 0


def test_files_of_long_names_have_short_names_of_their_own() -> None:
    first, second = file_stem("n" * 300 + "a"), file_stem("n" * 300 + "b")
    assert first != second and len(f"{first}_judged.png") < 255
    assert file_stem("my_study") == "my_study"
    assert file_stem("a/b") == "a_b"
    assert len(file_stem("ü" * 300).encode()) < 200


def test_a_markup_name_does_not_break_a_list_printed_by_any_console(folder: Path) -> None:
    from optuna_evo.reports import study_table
    from optuna_evo.search import StudyLine

    console = Console(record=True, width=200)  # with markup, as others have it
    console.print(study_table([StudyLine("[/red]"), StudyLine("[bold]x", problem="[/dim]")]))
    text = console.export_text()
    assert "[/red]" in text and "[bold]x" in text and "unreadable: [/dim]" in text


# --- one damaged study -------------------------------------------------------------------------


def damage(sql: str) -> None:
    with sqlite3.connect("optuna_evo.db") as connection:
        connection.execute(sql)


DAMAGES = {
    "no JSON": "UPDATE study_user_attributes SET value_json = '{' WHERE study_id = 1",
    "no spec": "UPDATE study_user_attributes SET value_json = '3' "
    "WHERE study_id = 1 AND key = 'optuna_evo:spec'",
    "empty spec": "UPDATE study_user_attributes SET value_json = '{}' "
    "WHERE study_id = 1 AND key = 'optuna_evo:spec'",
    "schema": "UPDATE study_user_attributes SET value_json = '\"new\"' "
    "WHERE study_id = 1 AND key = 'optuna_evo:schema'",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_study_is_named_and_hides_no_other(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bad", "good"):
        assert call(capsys, "study", "create", name, "s.toml")[0] == 0
    damage(DAMAGES[kind])
    code, out, _ = call(capsys, "study", "list")
    assert code == 0 and "bad" in out and "good" in out
    assert ("unreadable" in out) == (kind == "no JSON")
    for command in ("show", "run", "export"):
        code, _, err = call(capsys, "study", command, "bad")
        assert code in (1, 2) and "Study 'bad' is damaged" in err, err
        assert err.count("\n") == 1
    assert call(capsys, "study", "show", "good")[0] == 0
    assert call(capsys, "study", "run", "good", "--device", "cpu")[0] == 0
    assert call(capsys, "study", "create", "new", "s.toml", "--warm-start", "auto")[0] == 0
    assert call(capsys, "study", "delete", "bad", "--yes")[0] == 0
    assert study_names(open_storage(create=False)) == ["good", "new"]


def test_a_damaged_trial_and_several_objectives_hide_no_other_study(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage("sqlite:///optuna_evo.db")
    optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    bad = optuna.create_study(study_name="bad", storage=storage)
    bad.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    bad.trials[0]  # is there
    damage("UPDATE trial_params SET distribution_json = '{'")
    code, out, err = call(capsys, "study", "list")
    assert code == 0 and "unreadable" in out and "minimize, maximize" in out, err


# --- the dashboard's note and figures ----------------------------------------------------------


def summary(**changes: Any) -> StudySummary:
    best = optuna.trial.create_trial(value=1.0, params={}, distributions={})
    values: dict[str, Any] = dict.fromkeys(StudySummary._fields, "")
    values |= {"counts": {}, "n_reused": 0, "best": best, "accuracies": {}, "generations": []}
    return StudySummary(**{**values, **changes})


def test_what_stands_in_a_note_is_no_markup() -> None:
    task = "<script>x</script>|[a](b)*c*\x1b[31m\n# head"
    note = study_note(summary(accuracies={task: [0.5]}))
    (row,) = [line for line in note.splitlines() if "0.5000" in line]
    assert "<" not in row and "\x1b" not in row and "[a]" not in row and "*c*" not in row
    assert row.replace("\\|", "").count("|") == 3


def test_a_code_block_of_a_note_cannot_be_left() -> None:
    note = study_note(summary(training="x  ```\n<b>\n````"))
    opening = next(line for line in note.splitlines() if line and set(line) == {"`"})
    assert set(opening) == {"`"} and len(opening) == 5
    assert note.splitlines().count(opening) == 2


def test_a_dollar_in_a_name_is_no_formula_of_a_figure(tmp_path: Path) -> None:
    from optuna_evo import catalog

    row = JudgeRow("$\\frac$", "default: x", catalog["sgd"], {"$x": [0.5, 0.6]})
    draw_judgement([row, row], tmp_path / "a.png", title="$\\frac$" + "n" * 300)
    assert (tmp_path / "a.png").exists()


# --- passwords ---------------------------------------------------------------------------------

SECRET = "s3cr+t"
URLS = (
    "postgresql://me:{}@nowhere.invalid/db",
    "postgresql://nowhere.invalid/db?user=me&password={}",
    "postgresql://nowhere.invalid/db?sslpassword={}",
    "mysql://nowhere.invalid/db?passwd={}",
    "postgresql:/me:{}@nowhere.invalid/db",
    "postgresql//me:{}@nowhere.invalid/db",
    "postgresql:me:{}@nowhere.invalid/db",
    "postgres ://me:{}@nowhere.invalid/db",
    "postgresql;//me:{}@nowhere.invalid/db",
    "postgresqll://me:{}@nowhere.invalid/db",
    "postgresql://me:{}",
    "postgresql://me:{}@nowhere.invalid:port/db",
    "postgresql://me:{}/x@nowhere.invalid/db",
    "nothing://me:{}@nowhere.invalid/db",
    "me:{}@nowhere.invalid/db",
    "postgresql+psycopg://me:{}@nowhere.invalid/db?sslmode=require&PASSWORD={}",
    "postgresql://nowhere.invalid/db?options=-c%20x&passfile=/x&access_token={}",
    "redis://:{}@nowhere.invalid/0",
    "journal://me:{}@nowhere.invalid/a.log",
    "grpc://me:{}@nowhere.invalid:13000",
    "POSTGRESQL://me:{}@nowhere.invalid/db",
    " postgresql://me:{}@nowhere.invalid/db",
    "postgresql:///db?host=nowhere.invalid&user=me&password={}",
)


@pytest.mark.parametrize("url", URLS)
def test_no_message_about_a_database_shows_its_password(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = url.replace("{}", SECRET)
    assert SECRET not in shown_url(full)
    code, out, err = call(capsys, "study", "list", "--storage", full)
    assert code != 0 and SECRET not in out + err and err.count("\n") == 1
    code, out, err = call(capsys, "study", "create", "a", "s.toml", "--warm-start", f"{full}#old")
    assert code != 0 and SECRET not in out + err, err


@pytest.mark.parametrize("url", URLS)
def test_no_password_is_stored_with_a_reference(url: str) -> None:
    try:
        stored = str(Reference.parse(url.replace("{}", SECRET) + "#old"))
    except UsageError as error:
        assert SECRET not in str(error)
    else:
        assert SECRET not in stored


@pytest.mark.parametrize(
    "url", ["sqlite:///a/b.db", "sqlite:////C:/x@y.db", "mysql://h:3306/db", "postgresql://u@h/d"]
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


def test_a_drivers_words_lose_the_password() -> None:
    url = "postgresql://me:abc@h/d?sslpassword=def"
    assert without_secrets("no abc, no def", url) == "no ***, no ***"


@pytest.mark.parametrize("url", ["sqlite:///" + "x" * 5000, "sqlite:///a/" + "y" * 300 + "/b.db"])
def test_a_database_path_that_no_file_system_has_is_refused_in_one_line(url: str) -> None:
    for create in (True, False):
        with pytest.raises(StorageError) as caught:
            open_storage(url, create=create)
        assert "\n" not in str(caught.value)


def test_errors_are_printed_on_one_line_without_escape_codes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna_evo.cli import _study

    def broken(*args: Any, **options: Any) -> None:
        raise OptunaEvoError("a\n\x1b[31mb")

    monkeypatch.setattr(_study, "load_stored", broken)
    _, _, err = call(capsys, "study", "show", "x")
    assert err == "Error: a\\n\\x1b[31mb\n"


def test_a_stored_spec_is_json_that_every_database_takes(folder: Path) -> None:
    spec = {"name": "s", "tasks": ["two_moons"], "space": {"name": "training", "dropout": False}}
    from optuna_evo.spec import StudySpec

    assert json.loads(json.dumps(StudySpec.from_dict(spec).to_dict(), allow_nan=False))

"""Files of runs from anywhere: read, or refused in one line; nothing is half-written."""

import json
from pathlib import Path
import tempfile
import warnings

from hypothesis import given
from hypothesis import strategies as st
import optuna
import pytest

from optuna_evo.errors import OptunaEvoError
from optuna_evo.study import read_runs
from tests.hostile.spoilt import changed_bytes
from tests.hostile.spoilt import JSON_VALUES
from tests.hostile.test_fuzz import examples
from tests.hostile.test_names import call
from tests.hostile.test_names import folder as folder  # a fixture


CSV = (
    "Name,State,Created,Runtime,lr,config,optimizer,loss\n"
    "a,finished,2026-03-01T12:00:00Z,60,0.1,\"{'a': 1, 'b': nan}\",adam,1.5\n"
    "b,crashed,2026-03-01T12:00:00Z,1h 2m,0.01,\"{'a': 2}\",sgd,nan\n"
    "c,finished,1772366400,60,1e-3,,adam,inf\n"
)
LINES = "\n".join(
    json.dumps({"config": {"lr": {"value": 0.1**i}}, "summary": {"loss": i}, "state": "finished"})
    for i in range(3)
)
COMMAND = ("--value", "loss", "--direction", "minimize")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("a.csv", None, "There is no file"),
        ("a.csv", "", "it is empty"),
        ("a.csv", "lr,loss\n", "holds no runs"),
        ("a.csv", "lr,lr,loss\n1,2,3\n", "two columns 'lr'"),
        ("a.csv", "lr,acc\n1,2\n2,3\n", "--value 'loss' is no column"),
        ("a.csv", "lr,loss\n1,2\n1,3\n", "no parameter that differs between runs (lr: it is 1"),
        ("a.csv", "lr,loss\n1,nan\n2,\n", "No run in a.csv has a finite number as 'loss'"),
        ("a.csv", "lr,loss\n1,inf\n2,-inf\n", "all are infinite"),
        ("a.csv", "loss,State\n1,finished\n", "no columns that look like parameters"),
        ("a.csv", "lr,loss,State\n1,2,running\n", "still running or waiting"),
        ("a.csv", "lr\x00,loss\n1,2\n", "zero bytes"),
        ("a.json", "[1, 2]", "must be an object of names, got a int"),
        ("a.json", "[]", "holds no runs"),
        ("a.json", "[{}]", "holds no runs"),
        ("a.json", '[{"a": ', "it is no JSON"),
        ("a.json", '{"a": ' * 100_000, "nested too deeply"),
        ("a.json", '{"a": ' * 50 + "1" + "}" * 50, "nested too deeply"),
        ("a.jsonl", '{"lr": 1, "loss": 2}\n{"lr": \n', "line 2"),
        ("a.json", "\xff\xfe", "no JSON"),
        ("a.parquet", "no parquet", "Cannot read"),
        ("a.csv.gz", "no gzip", "Cannot read"),
        ("a.jsonl.gz", "no gzip", "Cannot read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_and_leaves_nothing(
    file: str, text: str | None, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (folder / file).write_text(text)
    code, out, err = call(capsys, "study", "import", "old", file, *COMMAND)
    assert code != 0 and said in err and err.count("\n") == 1 and len(err) < 900, err
    assert not (folder / "optuna_evo.db").exists() and out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--params", "nothing"), "--params 'nothing' is no column of a.csv"),
        (("--params", ""), "name them by --params"),
        (("--space", "none.toml"), "Cannot read the spec none.toml"),
        (("--space", "other.toml"), "none of the parameters of the space"),
        (("--space", "wrong.toml"), "`parameters.lr` must be a range"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    options: tuple[str, ...], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").write_text(CSV)
    (folder / "other.toml").write_text("[parameters]\nz = { low = 0, high = 1 }\n")
    (folder / "wrong.toml").write_text("[parameters]\nlr = { low = 2, high = 1 }\n")
    code, out, err = call(capsys, "study", "import", "old", "a.csv", *COMMAND, *options)
    assert code == 2 and said in err and err.count("\n") == 1, err
    assert not (folder / "optuna_evo.db").exists() and out == ""


@pytest.mark.parametrize("name", [" ", "n" * 600, "a\0b"])
def test_a_name_that_no_study_can_have_leaves_nothing(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").write_text(CSV)
    code, _, err = call(capsys, "study", "import", name, "a.csv", *COMMAND)
    assert code == 2 and "`name` must" in err and err.count("\n") == 1
    assert not (folder / "optuna_evo.db").exists()


def test_what_a_file_says_is_shown_and_never_taken_for_more(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = ["[/red]", "\x1b[31mred", "a\nb", "diverged", "accuracies", "parent"]
    spoilt.append("optuna_evo:spec")
    rows = [
        {"config": {"lr": 0.1**i, "[bold]": ["\u202eright", "{x}"][i % 2]}, "loss": i}
        | dict.fromkeys(spoilt, "\x1b[31m[/red] ` | os:system")
        | {"state": "finished" if i else "failed"}
        for i in range(20)
    ]
    (folder / "a.json").write_text(json.dumps(rows))
    assert call(capsys, "study", "import", "old", "a.json", *COMMAND, "--dry-run")[0] == 0
    assert not (folder / "optuna_evo.db").exists()
    assert call(capsys, "study", "import", "[/red]", "a.json", *COMMAND)[0] == 0
    for command in ("show", "report", "status", "sources", "export"):
        code, out, err = call(capsys, "study", command, "[/red]")
        assert code == 0, err
        assert command != "show" or "20 complete" not in out
    for command in ("run", "judge", "lineage"):
        code, out, err = call(capsys, "study", command, "[/red]")
        assert code != 0 and err.count("\n") == 1, err
    code, _, err = call(capsys, "study", "import", "[/red]", "a.json", *COMMAND)
    assert code == 2 and "There is a study '[/red]' already" in err
    study = optuna.load_study(study_name="[/red]", storage="sqlite:///optuna_evo.db")
    assert len(study.trials) == 20 and study.best_value == 1.0


@examples(60, 1000)
@given(st.data())
def test_spoilt_files_are_read_or_refused(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([("a.csv", CSV), ("a.jsonl", LINES)]))
    spoilt = data.draw(changed_bytes(whole[1].encode()))
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / whole[0]
        path.write_bytes(spoilt)
        try:
            runs = read_runs(path, value="loss", direction="minimize")
        except OptunaEvoError as error:
            assert "\n" not in str(error)
        else:
            assert runs.trials and runs.parameters


@examples(20, 500)
@given(st.lists(st.dictionaries(st.sampled_from(["lr", "loss", "state", "x"]), JSON_VALUES)))
def test_rows_of_any_values_are_read_or_refused(rows: list[object]) -> None:
    try:
        runs = read_runs(rows, value="loss", direction="maximize")  # type: ignore[arg-type]
    except OptunaEvoError as error:
        assert "\n" not in str(error)
        return
    optuna.create_study(direction="maximize").add_trials(runs.trials)

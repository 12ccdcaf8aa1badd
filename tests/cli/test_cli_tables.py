"""What the command line says of own tables."""

from pathlib import Path

import pytest

from tests.cli.test_cli import call


SPEC = """
tasks = ["t.csv"]
task = { drop = ["comment"] }
n_trials = 2
space = { name = "estimator", estimators = ["linear"] }
sampler = { name = "tpe" }
objective = { name = "table", reports = 2 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        f"{n},{'?' if n == 7 else n * 37 % 101},text {n},{int(n * 37 % 101 > 50)}"
        for n in range(100)
    ]
    (tmp_path / "t.csv").write_text("\n".join([",size,comment,y", *rows]))
    (tmp_path / "own.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    return tmp_path


def test_how_a_table_was_read_is_said_once_a_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [
        "Note: t.csv: Left out: 'Unnamed: 0' counts the rows; "
        'task.keep = ["Unnamed: 0"] would keep it.',
        "Note: t.csv: Taken as missing in 'size' ('?' 1x).",
        "Note: t.csv: On held-out rows 'y' is predicted by one feature alone: 'size' (accuracy "
        """1.000); if that is not known before 'y' is, leave it out by task.drop = ["size"].""",
    ]
    for command in (("create", "mine", "own.toml"), ("run", "mine", "--device", "cpu")):
        code, _, err = call(capsys, "study", *command)
        assert code == 0 and [line for line in err.splitlines() if "t.csv" in line] == expected


def test_a_table_that_cannot_be_read_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "t.csv").write_text("a,comment,y\n" + "1,x,2\n" * 20 + "inf,x,2\n")
    code, _, err = call(capsys, "study", "create", "mine", "own.toml")
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("Error: The column 'a' of t.csv holds inf in row 21; ")


@pytest.mark.parametrize("option", ["columns = 3", "drop = 3", 'drop = "size"', "keep = [1]"])
def test_wrong_options_of_a_table_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (folder / "own.toml").write_text(SPEC.replace('drop = ["comment"]', option))
    code, _, err = call(capsys, "study", "create", "mine", "own.toml")
    assert code == 2 and err.count("\n") == 1 and "Traceback" not in err
    assert "a table takes: target, kind, drop, keep" in err or "must be a list of columns" in err

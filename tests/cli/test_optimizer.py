"""`optuna_evo optimizer`: train a controller, show it, list what there is."""

from pathlib import Path

import pytest

from optuna_evo.cli import main


SPEC = """
controller = { name = "mlp", hidden_size = 4, genome = { name = "adam", lr = 0.1 } }
families = [{ name = "quadratics", size = 4 }]
outer = { steps = 4, pairs = 2, truncation = 4 }
horizon = { low = 8, high = 8 }
selection = { every = 2, tasks = 4 }
"""


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_controller_is_trained_shown_and_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "optimizer", "meta-train", "tiny.toml", "--outer-steps", "2")
    assert code == 0
    assert "held-out loss" in out and "the same command goes on to 4 outer steps" in out
    code, out, _ = call(capsys, "optimizer", "meta-train", "tiny.toml")
    assert code == 0 and "Wrote the controller tiny: 4 outer steps" in out
    code, out, err = call(capsys, "optimizer", "meta-train", "tiny.toml")
    assert code == 2 and err.startswith("Error: 'tiny' exists: remove it")
    code, out, _ = call(capsys, "optimizer", "show", "tiny")
    assert code == 0
    for part in ("kind ", "mlp", "meta-parameters", "command", "selection_loss", "η = 0.1"):
        assert part in out
    code, out, _ = call(capsys, "optimizer", "list", ".")
    assert code == 0 and "tiny: mlp, " in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("show", "nothing"), "There is no controller 'nothing'"),
        (("meta-train", "nope.toml"), "Cannot read the spec nope.toml"),
        (("meta-train", "tiny.toml", "--set", "outer.pairs=0"), "`outer.pairs` must be in"),
        (("meta-train", "tiny.toml", "--start", "nothing"), "There is no controller 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    args: tuple[str, ...], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "optimizer", *args)
    assert code == 2 and told in err and err.count("\n") == 1
    assert not (folder / "tiny").exists()

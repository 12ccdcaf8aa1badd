"""Each of studies/examples runs as its README says and prints what stands there."""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys

import optuna
import pytest


FOLDER = Path(__file__).parents[1] / "studies" / "examples"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
CONSOLE = re.compile(r"```console\n\$ (.+)\n((?:.*\n)+?)```")
LONGEST = 60  # lines: an example is read at one glance


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    module = {"python": [], "optuna_evo": ["-m", "optuna_evo.cli"]}[program]
    root = str(FOLDER.parents[1])
    env = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONPATH": root}
    env.pop("OPTUNA_EVO_STORAGE", None)
    return subprocess.run(
        [sys.executable, *module, *arguments], cwd=folder, env=env, capture_output=True, text=True
    )


def matches(shown: str, output: str) -> bool:
    """Compare without numbers, which depend on the machine, and spaces; `…` is any lines."""
    lines = ["(.*\n)*?" if line == "…" else f"{re.escape(line)}\n" for line in _masked(shown)]
    return (
        re.fullmatch("".join(lines), "".join(f"{line}\n" for line in _masked(output))) is not None
    )


def _masked(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield " ".join(re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "N", line).split())


@pytest.mark.parametrize(("command", "shown"), CONSOLE.findall(README))
def test_an_example_prints_what_its_readme_shows(command: str, shown: str, tmp_path: Path) -> None:
    done = run(command, shutil.copytree(FOLDER, tmp_path / "examples"))
    assert done.returncode == 0, done.stderr
    assert matches(shown, done.stdout), done.stdout


def test_population_based_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    folder, script = shutil.copytree(FOLDER, tmp_path / "examples"), "population_based_training.py"
    source = (folder / script).read_text(encoding="utf-8")
    short = source.replace("40, 20", "14, 2")
    dying = short.replace("    torch.save(", "    assert trial.number < 9\n    torch.save(")
    for text, code in ((dying, 1), (short, 0)):
        (folder / script).write_text(text, encoding="utf-8")
        assert run(f"python {script}", folder).returncode == code
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder}/population/study.db")
    states = [trial.state.name for trial in study.trials]
    assert states == 9 * ["COMPLETE"] + ["FAIL"] + 5 * ["COMPLETE"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_stands_in_the_readme(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert f"[{path.name}]({path.name})" in README


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("loss 0.3\n", "loss 12e-5\n", True),
        ("loss 0.3\n", "loss nan\n", False),
        ("a\n…\nb\n", "a\nb\n", True),
        ("a\n…\nb\n", "a\nx\ny\nb\n", True),
        ("a\n…\nb\n", "a\nx\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_the_comparison_ignores_numbers_and_omitted_lines_only(
    shown: str, output: str, same: bool
) -> None:
    assert matches(shown, output) is same

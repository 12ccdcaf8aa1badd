"""What stands in README, CONTRIBUTING and the help of commands works as it stands there."""

from collections.abc import Iterator
import functools
import inspect
import json
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys
import tomllib

import click
import pytest

from optuna_evo.cli import cli
from optuna_evo.spec import StudySpec
from optuna_evo.study import check_parts


ROOT = Path(__file__).parents[1]
TEXTS = ["README.md", "CONTRIBUTING.md", "studies/README.md", "studies/examples/README.md"]
TEXTS += [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("studies/**/*.toml"))]
# The tuner's block trains on MNIST for minutes; the same call on embedded data takes seconds.
BEFORE = """
import optuna, optuna_evo
optuna.logging.set_verbosity(optuna.logging.WARNING)
small = {"task": "digits", "max_iters": 2, "genetic_gens": 1, "population_size": 3,
    "picture": None, "progress": False}
tune = optuna_evo.smart_hyperparameter_tuning
optuna_evo.smart_hyperparameter_tuning = lambda **options: tune(
    **options | small | {"epochs": 1, "final_epochs": 1}
)
"""
AFTER = """
import json, sys
studies = {name: value for name, value in globals().items() if isinstance(value, optuna.Study)}
print(json.dumps({n: [(t.params, t.value) for t in s.trials] for n, s in studies.items()}))
"""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def run_python_blocks(attempt: int) -> list[str]:
    """Run the README's python blocks one after another; return the lines that they print."""
    blocks = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    assert len(blocks) >= 4
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:optuna_evo", "-c"]
        + ["\n".join([BEFORE, *blocks, AFTER])],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_python_blocks_run_and_print_the_same_again() -> None:
    *printed, trials = run_python_blocks(0)
    assert len(printed) >= 2 and printed == run_python_blocks(1)[:-1]
    assert {name: len(found) for name, found in json.loads(trials).items()} == {
        "study": 50,
        "new": 10,
    }


def test_the_seeded_studies_of_the_python_blocks_repeat() -> None:
    assert run_python_blocks(0)[-1] == run_python_blocks(1)[-1]


def test_the_spec_in_the_readme_can_be_built() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", read("README.md"), re.DOTALL)
    check_parts(StudySpec.from_dict({"name": "a", **tomllib.loads(block)}))


def test_the_tree_in_the_readme_names_every_entry_of_the_package() -> None:
    (tree,) = re.findall(r"^    optuna_evo/\n(.*?)^    \w", read("README.md"), re.M | re.S)
    named = [name for line in tree.splitlines() for name in re.findall(r"[\w./]+", line[:38])]
    entries = {path.name + "/" * path.is_dir() for path in (ROOT / "optuna_evo").iterdir()}
    hidden = {"__init__.py", "__pycache__/", "py.typed"}
    assert sorted(named) == sorted(entries - hidden)


def _shown_commands(text: str) -> Iterator[str]:
    """Yield the commands of ours in console blocks, in `code`, tables and indented examples."""
    joined = re.sub(r"\\\n[#\s]*", "", inspect.cleandoc(text)).replace("\\|", "|")
    shown = r"(?:^\$ |^#? {2,}|`)((?:optuna_evo|make|python -m) [^`\n]+)"
    for line in re.findall(shown, joined, re.MULTILINE):
        yield line.split("  #")[0].rstrip(" …")


def _commands(group: click.Group, path: str = "optuna_evo") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(_commands(cli))
SHOWN = [(name, command) for name in TEXTS for command in _shown_commands(read(name))]
SHOWN += [(path, line) for path, c in COMMANDS.items() for line in _shown_commands(c.help or "")]
SHOWN += [("optuna_evo", line) for line in _shown_commands(cli.help or "")]


def _parse(line: str) -> None:
    """Raise what click raises for a command line of ours; run nothing."""
    command: click.Command = cli
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    if isinstance(command, click.Group) or "--help" in words:
        assert set(words) <= {"--help", "--version"}
    else:
        command.make_context(line, [word for word in words if word != "--debug"])


@pytest.mark.parametrize(("where", "line"), SHOWN)
def test_a_command_that_is_shown_exists_with_its_options(where: str, line: str) -> None:
    if line.startswith("optuna_evo"):
        _parse(line)
    elif line.startswith("make"):
        targets = re.findall(r"^(\w+):", read("Makefile"), re.MULTILINE)
        assert {*line.split()[1:]} <= {*targets}
    else:
        module = line.split()[2]
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file() or "." not in module


@pytest.mark.parametrize("line", ["study frobnicate", "study run --trails 3 a", "study show"])
def test_the_check_of_shown_commands_sees_a_wrong_one(line: str) -> None:
    with pytest.raises((click.UsageError, KeyError)):
        _parse(f"optuna_evo {line}")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_with_an_example_of_it(path: str) -> None:
    text = inspect.cleandoc(COMMANDS[path].help or "")
    assert re.search(r"\n\n\x08\nExamples?:\n", text), text
    assert any(line.startswith(path) for line in _shown_commands(text)), text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("group", [cli, cli.commands["study"]], ids=["optuna_evo", "study"])
def test_no_line_of_a_list_of_commands_is_cut_off(group: click.Group) -> None:
    shown = group.get_help(click.Context(group, info_name="optuna_evo", terminal_width=80))
    assert "..." not in shown.partition("Commands:")[2]

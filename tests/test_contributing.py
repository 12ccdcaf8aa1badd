"""CONTRIBUTING is true: its layer table is that of the code, and its recipes add a part."""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.test_layers import Allowed
from tests.test_layers import TABLE


ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXIST = {path.stem for path in (ROOT / "optuna_evo").iterdir()}
RECIPES = dict(re.findall(r"^### An? (\w+)\n(.*?)(?=^###|^A part|^## )", TEXT, re.M | re.S))
LONGEST = 10  # lines of a recipe

SPACE = """
from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog

def new_space(trial, *, low=8):
    return TrainingConfig(genome=catalog["adam"], batch_size=trial.suggest_int("size", low, 64))
"""
SAMPLER = """
from optuna.samplers import BaseSampler
from optuna_evo.samplers._streams import stream

class NewSampler(BaseSampler):
    def __init__(self, *, seed=None):
        self._seed = seed or 0

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        rng = stream(self._seed, study, trial, param_name)
        return int(rng.integers(param_distribution.low, param_distribution.high + 1))
"""
PRUNER = """
from optuna.pruners import BasePruner

class NewPruner(BasePruner):
    def prune(self, study, trial):
        return False
"""
PARTS = {
    "task": (ROOT / "studies/examples/own_task.py").read_text(encoding="utf-8"),
    "space": SPACE,
    "objective": (ROOT / "optuna_evo/objectives/_kinds/_area.py")
    .read_text(encoding="utf-8")
    .replace("AreaKind", "NewObjective")
    .replace('name = "area"', 'name = "new_objective"'),
    "sampler": SAMPLER,
    "pruner": PRUNER,
}
# After which line of a file the recipe of a term means its line to stand.
PLACES = {
    "optuna_evo/rules/_terms.py": r"    SOAP = .*",
    "optuna_evo/optimizers/_foreach.py": r"_LINES: .* = \{",
    "optuna_evo/optimizers/_kernel.cpp": r"#define MORE_TERMS\(X\) +\\",
    "optuna_evo/optimizers/_triton.py": r" *step \+= _share\(numbers, KIND\.n\.sign_grad,.*\)",
    "tests/optimizers/published_loop.py": r".*np\.where\(.*\),",
}
SPEC = """
name = "new"
tasks = ["new_task"]
n_trials = 3
space = { name = "new_space", low = 16 }
sampler = { name = "new_sampler" }
pruner = { name = "new_pruner" }
trainer = { steps = 10 }
objective = { name = "new_objective", reports = 2 }
"""


def _rows() -> Iterator[tuple[int, set[str], set[str], str, str]]:
    for row in re.findall(r"^\| (\d) \| (.+) \| (.+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE):
        layer, packages, ours, optuna, torch = row
        yield int(layer), set(re.findall(r"`(\w+)`", packages)), set(ours.split()), optuna, torch


def _how(package: str, allowed: Allowed) -> str:
    if package in allowed.never:
        return "never"
    return "yes" if package in allowed.heavy else "in functions"


def test_the_layer_table_is_that_of_the_layer_test() -> None:
    rows = list(_rows())
    layers: dict[str, set[str]] = {}
    for layer, packages, *_ in rows:
        layers.setdefault(str(layer), set()).update(packages)
    assert set.union(*layers.values()) == {*TABLE} & EXIST
    for _, packages, ours, optuna, torch in rows:
        may = set.union(*(layers.get(word, {word.strip("`")}) for word in ours - {"layer"}))
        for package in packages:
            allowed = TABLE[package]
            assert may | {package} == (allowed.ours | {package}) & EXIST, package
            assert (optuna, torch) == (_how("optuna", allowed), _how("torch", allowed)), package


def test_every_file_and_name_that_is_mentioned_exists() -> None:
    for file in re.findall(r"`((?:optuna_evo|tests|studies)/[\w/.]*)`", TEXT):
        assert "NAME" in file or (ROOT / file).exists(), file
    named = re.findall(r"`(\w+)` (?:of|in) `([\w/]+\.py)`", TEXT)
    assert len(named) >= 6
    for name, file in named:
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text(encoding="utf-8")), (name, file)


def test_the_hooks_run_the_checks_that_ci_runs() -> None:
    recipes = re.findall(r"\$\(BIN\)/((?:ruff|mypy)[ \w]*)", (ROOT / "Makefile").read_text())
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    run = [hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for hook in hooks]
    assert sorted(run) == sorted(recipe.strip() for recipe in recipes)


@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_has_at_most_ten_lines(kind: str) -> None:
    assert len(RECIPES[kind].strip().splitlines()) <= LONGEST


def test_parts_that_are_added_as_the_recipes_say_run_by_their_names(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "optuna_evo", tmp_path / "optuna_evo", ignore=ignore)
    for kind, part in PARTS.items():
        _follow(RECIPES[kind], part, tmp_path, NAME=f"new_{kind}", CLASS=f"New{kind.title()}")
    (tmp_path / "new.toml").write_text(SPEC)
    done = _run(["optuna_evo.cli", "study", "run", "new.toml"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "new (maximize): 3 complete" in done.stdout


def test_a_term_that_is_added_as_the_recipe_says_is_the_same_in_every_path(tmp_path: Path) -> None:
    for folder in ("optuna_evo", "tests/learned", "tests/optimizers", "tests/rules"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    (tmp_path / "tests/__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    lines = re.findall(r"`([\w/]+\.(?:py|cpp))`: `(.+?)`", RECIPES["term"])
    assert {file for file, _ in lines} == {*PLACES}
    for file, line in lines:
        _insert(tmp_path / file, PLACES[file], line)
    tests = "tests/rules/test_terms.py tests/optimizers"
    chosen = "root_grad or rules or test_every_term"
    done = _run(f"pytest -q -p no:cacheprovider {tests} -k".split() + [chosen], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 20


def _insert(path: Path, place: str, line: str) -> None:
    """Write a line below the last match of a pattern, indented as its neighbours."""
    source = path.read_text(encoding="utf-8")
    *_, match = re.finditer(place, source)
    below = source[match.end() + 1 :].splitlines()[0] or match[0].splitlines()[-1]
    indent = below[: len(below) - len(below.lstrip())]
    continued = " \\" if path.suffix == ".cpp" else ""
    inserted = f"\n{indent}{line}{continued}"
    path.write_text(source[: match.end()] + inserted + source[match.end() :], encoding="utf-8")


def _run(module: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def _follow(recipe: str, part: str, folder: Path, **names: str) -> None:
    """Write the file that a recipe names, and the lines that it says."""
    for placeholder, name in names.items():
        recipe = recipe.replace(placeholder, name)
    (file,) = set(re.findall(r"Write `([\w/]+\.py)`", recipe))
    (folder / file).write_text(part, encoding="utf-8")
    for target, line in re.findall(r"Export it in `([\w/.]+)` by: `(.+?)`", recipe):
        with (folder / target).open("a", encoding="utf-8") as exports:
            exports.write(f"{line}\n")
    for mapping, target, line in re.findall(r"line in `(\w+)` of `([\w/.]+)`: `(.+?)`", recipe):
        source = (folder / target).read_text(encoding="utf-8")
        changed = re.sub(rf"^({mapping}\b.*\{{)$", rf"\1\n    {line}", source, flags=re.M)
        assert changed != source, f"no mapping {mapping} in {target}"
        (folder / target).write_text(changed, encoding="utf-8")

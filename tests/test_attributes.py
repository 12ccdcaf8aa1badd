"""The table of the database's keys: read by either name, and written nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

import pytest

import optuna_evo
from optuna_evo.attributes import Attribute
from optuna_evo.attributes import ATTRIBUTES
from optuna_evo.attributes import GRAD_NORM
from optuna_evo.attributes import PARENT


ROOT = Path(optuna_evo.__file__).parent
KEYS = {key for a in ATTRIBUTES if a is not GRAD_NORM for key in (a.key, *a.aliases)}
# Old keys that are words of other things too: options, columns, names of objectives.
WORDS = {key for key in KEYS if key.isalpha()}


def test_the_key_goes_before_its_aliases() -> None:
    assert PARENT.read({"parent": 3}) == PARENT.read({PARENT.key: 3, "parent": 4}) == 3
    assert PARENT.read({}) is None and PARENT.read({}, -1) == -1
    assert PARENT.is_in({"parent": None}) and not PARENT.is_in({"member": 1})


def test_no_two_attributes_of_a_place_share_a_name() -> None:
    def names(attributes: list[Attribute]) -> list[str]:
        return [name for a in attributes for name in (a.key, *a.aliases)]

    for place in {a.place for a in ATTRIBUTES}:
        found = names([a for a in ATTRIBUTES if a.place == place])
        assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "package",
    sorted(
        p.name
        for p in ROOT.iterdir()
        if p.suffix in ("", ".py") and p.name[0] != "_" and p.name != "attributes.py"
    ),
)
def test_keys_are_literals_in_one_place_only(package: str) -> None:
    path = ROOT / package
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    found = {str(f.relative_to(ROOT)): list(literals(f.read_text("utf-8"))) for f in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('KEY = "reused_from"', [1]),
        ('\nx.set_user_attr("optuna_evo:parent", 1)', [2]),
        ('trial.user_attrs["parent"]', [1]),
        ('attrs.get("error", "")', [1]),
        ('"diverged" in trial.user_attrs', [1]),
        ('x.set_user_attr("worker", 1)', [1]),
        ('inherit = "parent"', []),
        ('__all__ = ["meta_features"]', []),
        ('record["grad_norm"]', []),
        ('"""reused_from is a key."""', []),
    ],
)
def test_the_check_finds_literals(source: str, lines: list[int]) -> None:
    assert list(literals(source)) == lines


def literals(source: str) -> Iterator[int]:
    """Yield the lines in which a key stands as a literal."""
    tree = ast.parse(source)
    exported = {
        id(constant)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for constant in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in KEYS - WORDS:
            if id(node) not in exported:
                yield node.lineno
        elif isinstance(node, ast.Subscript | ast.Call | ast.Compare):
            text = ast.unparse(node)
            own = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.Constant)]
            if any(n.value in WORDS for n in own) and re.search(r"\battrs\b|_attrs?\b", text):
                yield node.lineno

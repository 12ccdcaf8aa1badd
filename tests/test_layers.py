"""A lower layer never imports a higher one, and heavy packages are loaded only where they belong.

Imports under `if TYPE_CHECKING:` are free here. Imports inside functions may load heavy packages,
but not those a layer must never know, and never our own higher layers. What holds between files,
whatever their layer, is in `test_tree.py`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import pytest

import optuna_evo


ROOT = Path(optuna_evo.__file__).parent
HEAVY = frozenset(
    "torch optuna torchvision transformers datasets sklearn matplotlib plotly rich click".split()
)


When = Literal["import", "call", "typing"]


class Import(NamedTuple):
    """A dotted name that is imported, when that happens, and where it stands."""

    name: str
    when: When
    line: int


@dataclass(frozen=True)
class Allowed:
    """What the modules of one package may import."""

    ours: frozenset[str]
    heavy: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    ours_at_import: frozenset[str] | None = None


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


DATA = _set("attributes errors files names rules curves config metrics spec plugins")
SEARCHERS = _set("samplers pruners surrogates")
LAYER_3 = _set("search warm_start evaluation reports")
BELOW_3 = (
    DATA
    | SEARCHERS
    | _set("spaces optimizers tasks estimators learned trainers objectives meta_training")
)
COMPOSITION = _set("study export workers")
TORCH_ONLY = {"heavy": _set("torch"), "never": _set("optuna")}

TABLE = {
    "": Allowed(_set("")),
    **dict.fromkeys(DATA, Allowed(DATA, never=_set("torch optuna"))),
    "spaces": Allowed(DATA, _set("optuna"), never=_set("torch")),
    "optimizers": Allowed(DATA, **TORCH_ONLY),
    "tasks": Allowed(DATA, **TORCH_ONLY),
    "estimators": Allowed(DATA, never=_set("torch optuna")),
    **dict.fromkeys(SEARCHERS, Allowed(DATA | SEARCHERS, _set("optuna sklearn"))),
    "learned": Allowed(DATA | _set("optimizers tasks"), **TORCH_ONLY),
    "trainers": Allowed(DATA | _set("optimizers tasks learned"), **TORCH_ONLY),
    "meta_training": Allowed(DATA | _set("optimizers tasks learned trainers"), **TORCH_ONLY),
    "objectives": Allowed(
        # a plain objective of Optuna is one of them; all others know no trial
        DATA | _set("optimizers tasks estimators learned trainers meta_training"),
        _set("torch"),
    ),
    **dict.fromkeys(LAYER_3, Allowed(BELOW_3 | LAYER_3, _set("optuna"))),
    # terminal output is rich throughout; figures load their library when they are drawn
    "reports": Allowed(BELOW_3 | LAYER_3, _set("optuna rich")),
    **dict.fromkeys(COMPOSITION, Allowed(BELOW_3 | LAYER_3 | COMPOSITION, HEAVY)),
    "cli": Allowed(
        BELOW_3 | LAYER_3 | COMPOSITION,
        _set("click"),
        ours_at_import=_set("spec errors files names"),
    ),
}


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    unit = _unit_of(path)
    assert unit in TABLE, f"{unit!r} has no layer yet: give it one in TABLE of {__file__}."
    assert not list(violations(path.read_text(), unit))


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("rules", "import torch"),
        ("rules", "import torch.nn"),
        ("rules", "from optuna_evo.optimizers import EvolvedOptimizer"),
        ("rules", "def f():\n    from optuna_evo.study import run"),
        ("samplers", "from torch import nn"),
        ("samplers", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("samplers", "import optuna_evo.spaces"),
        ("optimizers", "def f():\n    import optuna"),
        ("tasks", "import torchvision"),
        ("tasks", "from optuna_evo import trainers"),
        ("trainers", "class A:\n    import optuna"),
        ("search", "from optuna_evo.study import run"),
        ("cli", "from optuna_evo.study import run"),
        ("cli", "import optuna"),
        ("spaces", "from optuna_evo import Genome"),
        ("pruners", "from ._base import Base"),
        ("", "from optuna_evo.rules import Genome"),
    ],
)
def test_the_check_sees_a_forbidden_import(unit: str, source: str) -> None:
    assert len(list(violations(source, unit))) == 1


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("rules", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("rules", "import typing\nif typing.TYPE_CHECKING:\n    import optuna_evo.study"),
        ("tasks", "def f():\n    import torchvision"),
        ("samplers", "import numpy\nimport optuna\nfrom optuna_evo.pruners import AnyPruner"),
        ("samplers", "def f():\n    import torch"),
        ("trainers", "import torch\nfrom optuna_evo.learned import LearnedOptimizer"),
        ("study", "import optuna\nimport torch\nfrom optuna_evo.search import run"),
        ("cli", "import click\ndef f():\n    from optuna_evo.study import run"),
        ("spaces", "from optuna_evo.spaces._genome import suggest_genome"),
    ],
)
def test_the_check_lets_an_allowed_import_pass(unit: str, source: str) -> None:
    assert list(violations(source, unit)) == []


def violations(source: str, unit: str) -> Iterator[str]:
    """Yield one sentence for each import in `source` that package `unit` may not have."""
    allowed = TABLE[unit]
    for target, when, line in imports(ast.parse(source).body):
        if when == "typing":
            continue
        at_import = when == "import"
        package, _, rest = target.partition(".")
        where = f"line {line}: {unit or 'the package root'} imports {target}"
        if package == "":
            yield f"{where}: write absolute imports"
        elif package == "optuna_evo":
            inner = rest.partition(".")[0]
            ours = allowed.ours | {unit}
            if at_import and allowed.ours_at_import is not None:
                ours = allowed.ours_at_import | {unit}
            if inner not in ours or not inner:
                yield f"{where}: of ours it may import {sorted(ours)}"
        elif package in allowed.never:
            yield f"{where}: it must not know {package}"
        elif package in HEAVY - allowed.heavy and at_import:
            yield f"{where}: of the heavy packages it may load {sorted(allowed.heavy)} at import"


def imports(body: list[ast.stmt], when: When = "import") -> Iterator[Import]:
    """Yield what statements import, relative imports with a dot before their name."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, when, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(f"{module}.{alias.name}", when, node.lineno)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imports(node.body, "typing")
            yield from imports(node.orelse, when)
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            inside: When = "call" if is_function and when == "import" else when
            for child in ast.iter_child_nodes(node):
                blocks = [child] if isinstance(child, ast.stmt) else getattr(child, "body", [])
                if isinstance(blocks, list):
                    yield from imports(blocks, inside)


def _unit_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")

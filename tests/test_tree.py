"""The shape of the package: no cycles, private modules stay private, few entries, short files.

Each exception stands in one tuple below, with its reason; an exception that is no longer needed is
an error too, so that the tuples only shrink.
"""

import ast
from collections.abc import Iterator
from collections.abc import Mapping
import graphlib
from pathlib import Path

import pytest

import optuna_evo
from tests.test_layers import imports
from tests.test_layers import When


ROOT = Path(optuna_evo.__file__).parent
MAX_ENTRIES = 33
MAX_LINES = 400
LONG_LINES = 350
Targets = list[tuple[str, When]]

# Files of more than LONG_LINES lines; a split is due.
LONG: tuple[str, ...] = ("attributes.py", "samplers/_ga/_sampler.py")
# (importing module, private module of another package)
FOREIGN_PRIVATE: tuple[tuple[str, str], ...] = ()
# (module, module) that know each other's types; neither is needed to run the other.
TYPE_CYCLES: tuple[tuple[str, str], ...] = ()


def test_no_module_needs_itself_to_run() -> None:
    graph = _graph(TARGETS, ("import", "call"))
    assert _cycle(graph) == []


def test_no_two_modules_know_each_others_types() -> None:
    graph = _graph(TARGETS, ("import", "call", "typing"))
    pairs = {(a, b) for a in graph for b in graph[a] if a < b and a in graph[b]}
    assert pairs == {*TYPE_CYCLES}
    for first, second in pairs:
        graph[first].discard(second)
        graph[second].discard(first)
    assert _cycle(graph) == []


def test_private_modules_are_imported_within_their_package_only() -> None:
    found = {
        (module, target)
        for module, targets in TARGETS.items()
        for target, _ in targets
        if _is_private(target) and _package(module) != _package(target)
    }
    assert found == {*FOREIGN_PRIVATE}


def test_the_root_has_few_entries() -> None:
    entries = {
        path.name
        for path in ROOT.iterdir()
        if path.name not in ("__init__.py", "__pycache__", "py.typed")
    }
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_no_file_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert [name for name, n in lines.items() if n > MAX_LINES] == []
    assert sorted(name for name, n in lines.items() if n > LONG_LINES) == sorted(LONG)


@pytest.mark.parametrize(
    ("a", "b", "runs", "types"),
    [
        ("from p.b import x", "from p.a import y", True, True),
        ("def f():\n    from p.b import x", "import p.a", True, True),
        ("if TYPE_CHECKING:\n    from p.b import x", "from p.a import y", False, True),
        ("if TYPE_CHECKING:\n    from p.b import x", "x = 1", False, False),
        (
            "from p import b",
            "try:\n    from p import a\nexcept ImportError:\n    pass",
            True,
            True,
        ),
        ("from p import b", "class A:\n    def f(self):\n        import p.a as q", True, True),
        ("from p import other", "from p.a import y", False, False),
    ],
)
def test_the_check_sees_a_cycle(a: str, b: str, runs: bool, types: bool) -> None:
    sources = {"p": "", "p.a": a, "p.b": b}
    targets = {name: [*_targets(source, sources)] for name, source in sources.items()}
    assert bool(_cycle(_graph(targets, ("import", "call")))) == runs
    assert bool(_cycle(_graph(targets, ("import", "call", "typing")))) == types


def _graph(targets: Mapping[str, Targets], which: tuple[When, ...]) -> dict[str, set[str]]:
    return {
        module: {target for target, when in found if when in which and target != module}
        for module, found in targets.items()
    }


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of one cycle, the first of them twice; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _targets(source: str, modules: Mapping[str, object]) -> Iterator[tuple[str, When]]:
    """Yield which of `modules` a source imports, the innermost ones, and when."""
    for name, when, _ in imports(ast.parse(source).body):
        while name and name not in modules:
            name = name.rpartition(".")[0]
        if name:
            yield name, when


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


def _module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(ROOT.rglob("*.py"))
MODULES = {_module_of(path): path for path in FILES}
TARGETS = {module: [*_targets(path.read_text(), MODULES)] for module, path in MODULES.items()}

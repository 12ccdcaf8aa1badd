"""What the package offers: every exported name is there, documented, and costs nothing unused."""

import ast
import importlib
import inspect
from pathlib import Path
import pkgutil
import pydoc
import re
import subprocess
import sys

import pytest

import optuna_evo


MODULES = ["optuna_evo"] + [
    module.name
    for module in pkgutil.walk_packages(optuna_evo.__path__, "optuna_evo.")
    if not any(part.startswith("_") for part in module.name.split("."))
]


def _run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("name", MODULES)
def test_every_exported_name_exists_and_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for export in getattr(module, "__all__", []):
        value = getattr(module, export)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert value.__doc__, f"{name}.{export} has no docstring"


def test_importing_the_package_loads_neither_torch_nor_optuna_nor_click() -> None:
    heavy = "{'torch', 'optuna', 'click', 'numpy'}"
    assert _run(f"import sys, optuna_evo; print(sorted({heavy} & {{*sys.modules}}))") == "[]"


def test_genomes_and_the_catalog_load_neither_torch_nor_optuna() -> None:
    code = "from optuna_evo import catalog, Genome, TrainingConfig; import sys; "
    assert _run(code + "print(sorted({'torch', 'optuna'} & {*sys.modules}))") == "[]"


def test_samplers_and_pruners_do_not_load_torch() -> None:
    code = "import optuna_evo.samplers, optuna_evo.pruners, optuna_evo.spaces, sys; "
    assert _run(code + "print('torch' in sys.modules)") == "False"


def test_a_search_loads_torch_only_for_what_trains_networks() -> None:
    code = (
        "import optuna, sys, optuna_evo.cli, optuna_evo.search, optuna_evo.study as s\n"
        "from optuna_evo.spec import StudySpec\n"
        "data = {'name': 'a', 'tasks': ['wine'], 'n_trials': 1, 'sampler': {'name': 'hybrid'},\n"
        "        'objective': {'name': 'table', 'reports': 2},\n"
        "        'space': {'name': 'estimator', 'estimators': 'linear'}}\n"
        "own = {'name': 'b', 'n_trials': 1, 'objective': {'name': 'statistics:fmean'}}\n"
        "storage = optuna.storages.InMemoryStorage()\n"
        "stored = s.create_study(StudySpec.from_dict(data), storage)\n"
        "s.run_study(stored), s.train_best(stored)\n"
        "s.create_study(StudySpec.from_dict(own), storage)\n"
        "print('torch' in sys.modules)"
    )
    assert _run(code) == "False"


def test_dir_lists_the_lazy_names_before_they_are_loaded() -> None:
    code = "import optuna_evo; print({*optuna_evo.__all__} <= {*dir(optuna_evo)})"
    assert _run(code) == "True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'genom'"):
        optuna_evo.genom  # noqa: B018


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert optuna_evo.__version__ == importlib.import_module("importlib.metadata").version(
        "optuna-evo"
    )


def test_type_checkers_see_exactly_the_lazy_names() -> None:
    tree = ast.parse(Path(optuna_evo.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        (alias.name, node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(optuna_evo._EXPORTS.items())


def test_help_lists_every_public_name_with_a_line_on_it() -> None:
    described = _described_names(optuna_evo.__doc__ or "")
    assert sorted(described) == sorted({*optuna_evo.__all__} - {"__version__"})
    assert all(len(text) >= 20 and text[-1] in ".;" for text in described.values())
    assert "* `GASampler`: a genetic algorithm" in pydoc.plain(pydoc.render_doc(optuna_evo))


def _described_names(text: str) -> dict[str, str]:
    rows = re.findall(r"^\* ((?:`\w+`(?:, )?)+): (.+)$", text, re.MULTILINE)
    return {name: row for names, row in rows for name in re.findall(r"\w+", names)}

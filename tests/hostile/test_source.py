"""What the source never does: run what it reads."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import optuna_evo


ROOT = Path(optuna_evo.__file__).parent
# Modules that make objects, or run code, from bytes.
FORBIDDEN = frozenset(
    "pickle _pickle cPickle cloudpickle dill joblib marshal shelve jsonpickle pickletools".split()
)
CALLS = frozenset(
    "eval exec compile __import__ os.system os.popen subprocess.getoutput yaml.load "
    "yaml.unsafe_load yaml.full_load numpy.load np.load read_pickle to_pickle".split()
)
LOADS = frozenset(["torch.load"])
# Where a file may be written: by the helper that writes it whole, and by what a comment explains.
WRITERS = ("files.py", "_workers.py")  # the latter adds lines to a log
FILES = sorted(ROOT.rglob("*.py"))


def problems(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
            yield from (n for n in names if n.partition(".")[0] in FORBIDDEN or n in CALLS)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rpartition(".")[2]
            if name in CALLS or last in ("read_pickle", "to_pickle"):
                yield name
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in LOADS and options.get("weights_only") != "True":
                yield name
            if options.get("allow_pickle") == "True" or options.get("shell") == "True":
                yield name
            if options.get("trust_remote_code") == "True":
                yield name


def writes(source: str) -> Iterator[str]:
    """Yield what opens a file to write that is whole only when all goes well."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        mode = [a.value for a in node.args if isinstance(a, ast.Constant)]
        mode += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
        if last in ("write_text", "write_bytes") and "." in name:
            yield name
        elif last == "open" and any(isinstance(m, str) and set(m) & set("wax+") for m in mode):
            yield name
        elif last in ("copyfile", "copy2", "savetxt", "to_csv", "to_parquet"):
            yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_runs_nothing_that_it_reads(path: Path) -> None:
    assert list(problems(path.read_text())) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_writes_files_whole(path: Path) -> None:
    if path.name not in WRITERS:
        assert list(writes(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "from os import system",
        "eval('1')",
        "exec('1')",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "pd.read_pickle(file)",
        "yaml.load(text)",
        "subprocess.run('x', shell=True)",
        "datasets.load_dataset('x', trust_remote_code=True)",
    ],
)
def test_the_check_sees_what_would_run(source: str) -> None:
    assert list(problems(source))


@pytest.mark.parametrize(
    "source", ["path.write_text('a')", "open(p, 'w')", "p.open('wb')", "open(p, mode='a')"]
)
def test_the_check_sees_a_file_that_is_written_in_place(source: str) -> None:
    assert list(writes(source))

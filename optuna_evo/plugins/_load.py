"""Users' own parts by name, "module:attribute" or "FILE.py:attribute".

A file is found from the working folder, and its folder is put on the import path, behind the
libraries: a `rich.py` beside it is none. It is imported, not run: what stands under
`if __name__ == "__main__"` does nothing.
"""

import ast
import importlib
import importlib.util
from pathlib import Path
import sys
import traceback
from types import ModuleType
from types import TracebackType
from typing import Any

from optuna_evo.errors import PluginError
from optuna_evo.plugins._allow import check_found
from optuna_evo.plugins._allow import check_stored
from optuna_evo.plugins._allow import is_file


__all__ = ["last_line_in", "load_attribute", "load_module", "split_path"]


def load_attribute(path: str) -> Any:
    """Import what "module:attribute" or "FILE.py:attribute" names.

    Args:
        path: A module's dotted name or a file, a colon, and a name in it, which may be dotted too,
            as that of a class method. The module must be importable; the command line puts the
            working folder on the import path. One that comes from a database (a `StoredName`) is
            imported only where it is allowed.

    Raises:
        PluginError: If the name is not allowed, the module cannot be imported or has no such
            attribute.

    Example:
        >>> load_attribute("math:pi")
        3.141592653589793
    """
    check_stored(path)
    module_name, attribute = split_path(path)
    module = load_module(module_name)
    owners: list[Any] = []
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            where = module_name if is_file(module_name) else f"Module {module_name!r}"
            raise PluginError(
                f"{where} has no attribute {attribute!r}{_functions_in(module)}."
            ) from error
        owners.append(found)
    check_found(path, owners)
    return found


def split_path(path: str) -> tuple[str, str]:
    """Return the module or file that a path names, and the attribute.

    Raises:
        PluginError: If it names only one of them.
    """
    module_name, _, attribute = path.rpartition(":")
    if module_name and attribute:
        return module_name, attribute
    if is_file(attribute) and Path(attribute).is_file():
        names = _defined_functions(Path(attribute))
        example = names[0] if names else "objective"
        listed = f"; there are: {', '.join(names)}" if names else ""
        raise PluginError(
            f"Name a function in {attribute}, such as {attribute}:{example}{listed}."
        )
    raise PluginError(f'An own part is named "module:attribute", got {path!r}.')


def load_module(name: str) -> ModuleType:
    """Import a module by its dotted name, or a file by its path.

    Raises:
        PluginError: If it is not there, or importing it raises; with the line of the file.
    """
    try:
        return _import_file(name) if is_file(name) else importlib.import_module(name)
    except PluginError:
        raise
    except SyntaxError as error:
        raise PluginError(
            f"Cannot import {name}: line {error.lineno} of {error.filename} is no Python: "
            f"{error.msg}."
        ) from error
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        file = _source_of(name)
        line = last_line_in(file, error.__traceback__) if file is not None else None
        if line is not None:
            raise PluginError(f"Cannot import {name}: line {line}: {what}.") from error
        raise PluginError(
            f"Cannot import module {name!r} ({error}): is it in the working folder or installed?"
        ) from error


def last_line_in(file: str | Path, trace: TracebackType | None) -> int | None:
    """Return the line of a file that a traceback goes through last; None if it never does."""
    wanted = Path(file).resolve()
    frames = traceback.extract_tb(trace)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == wanted]
    return lines[-1] if lines else None


def _import_file(name: str) -> ModuleType:
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise PluginError(
            f"There is no file {name} in {Path.cwd()}: run from the folder that it was named "
            "from, or put it back."
        )
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last: what lies there is to shadow no library
    # Under its own name where that is free, so that other processes find what it defines.
    for module_name in (path.stem, f"_own_{path.stem}"):
        taken = sys.modules.get(module_name)
        if taken is not None and getattr(taken, "__file__", None) == str(path):
            return taken
        if taken is None and _is_free(module_name, path):
            break
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _is_free(module_name: str, path: Path) -> bool:
    """Tell whether no library has a name that a file would take."""
    if module_name in sys.stdlib_module_names or "." in module_name:
        return False
    spec = importlib.util.find_spec(module_name)
    return spec is None or spec.origin == str(path)


def _source_of(name: str) -> str | None:
    """Return the file of a module or file by its name; None if there is none."""
    if is_file(name):
        return name
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def _functions_in(module: ModuleType) -> str:
    """List the functions that a module of the user defines, for a message."""
    file = getattr(module, "__file__", None)
    names = _defined_functions(Path(file)) if file and is_file(file) else []
    return f"; its functions are: {', '.join(names)}" if names else ""


def _defined_functions(file: Path) -> list[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return []
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]

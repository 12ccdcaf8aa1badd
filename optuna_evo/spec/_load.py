"""A spec from a TOML file, with what a command line changes in it."""

from collections.abc import Mapping
from collections.abc import Sequence
import copy
from pathlib import Path
import tomllib
from typing import Any
from typing import Final

from optuna_evo.errors import SpecError
from optuna_evo.spec._spec import StudySpec
from optuna_evo.spec._tables import set_entry


__all__ = ["changed_spec", "load_spec"]

_LONGEST_PATH: Final = 300  # in a message


def load_spec(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> StudySpec:
    """Read a TOML file into a spec.

    Args:
        path: The file. A study without a `name` in it is called like the file.
        overrides: "a.b=c" each; the value is read as TOML, or as a string where that fails.
        changes: Values by key that take the place of those in the file, before `overrides`.

    Raises:
        SpecError: If the file cannot be read or the spec is wrong.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Cannot read the spec {_short(path)}: {error.strerror}.") from error
    except RecursionError as error:
        raise SpecError(f"Cannot read the spec {path}: it is nested too deeply.") from error
    except (tomllib.TOMLDecodeError, ValueError) as error:  # also no UTF-8, or a zero byte
        raise SpecError(f"{_short(path)} is not valid TOML: {error}.") from error
    data.setdefault("name", path.stem)
    return changed_spec(data, changes or {}, overrides)


def changed_spec(
    data: Mapping[str, Any], changes: Mapping[str, Any], overrides: Sequence[str]
) -> StudySpec:
    """Build a spec from a table with changes and "a.b=c" overrides, as `load_spec` does."""
    try:
        table = {**copy.deepcopy(dict(data)), **changes}
    except RecursionError as error:
        raise SpecError("The spec is nested too deeply.") from error
    for override in overrides:
        set_entry(table, override)
    return StudySpec.from_dict(table)


def _short(path: Path) -> str:
    return str(path) if len(str(path)) <= _LONGEST_PATH else f"{str(path)[:_LONGEST_PATH]}…"

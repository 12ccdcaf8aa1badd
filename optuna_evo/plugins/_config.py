"""What the user allows in files: `allow_import = ["own_parts", "own.py"]` in optuna_evo.toml.

The file lies in the working folder or in the user's configuration folder
(`$XDG_CONFIG_HOME/optuna_evo`, by default `~/.config/optuna_evo`); both count.
"""

import os
from pathlib import Path
import tomllib
from typing import Any

from optuna_evo.errors import PluginError
from optuna_evo.plugins._allow import Allowance
from optuna_evo.plugins._allow import is_file


__all__ = ["allowance_from_files"]

_FILE = "optuna_evo.toml"
_KEY = "allow_import"


def allowance_from_files() -> Allowance:
    """Return what optuna_evo.toml in the working folder and in the user's own folder allow.

    Raises:
        PluginError: If one of them is wrong, or others can write it.
    """
    return _read(Path(_FILE)) | _read(_user_folder() / _FILE)


def _user_folder() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(config) if config else Path.home() / ".config") / "optuna_evo"
    except RuntimeError:  # no home
        return Path()


def _read(path: Path) -> Allowance:
    try:
        if not path.is_file():
            return Allowance()
        status, text = path.stat(), path.read_bytes()
    except OSError as error:
        raise PluginError(f"Cannot read {path}: {error.strerror}.") from error
    _check_owner(path, status)
    try:
        data: dict[str, Any] = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise PluginError(f"{path} is not valid TOML: {reason}.") from error
    if unknown := [key for key in data if key != _KEY]:
        raise PluginError(f"Unknown key {unknown[0]!r:.80} in {path}; allowed: {_KEY}.")
    modules = data.get(_KEY, [])
    if not isinstance(modules, list) or not all(isinstance(each, str) for each in modules):
        raise PluginError(f'`{_KEY}` in {path} must be a list of names, such as ["own_parts"].')
    # a file is found from where the list stands
    return Allowance.of(
        str(path.parent / Path(each).expanduser()) if is_file(each) else each for each in modules
    )


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Refuse a list that somebody else can have written, as in a shared folder."""
    if os.name != "posix":
        return
    user = os.geteuid()
    if status.st_mode & 0o002 or (user and status.st_uid not in (0, user)):
        raise PluginError(
            f"{path} is not yours alone: anybody could allow code by it. Make it your own "
            f"(chmod o-w {path}), or remove it."
        )

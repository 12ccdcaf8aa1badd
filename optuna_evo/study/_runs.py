"""How a study was run: command, date, commit, versions; written on it, for who repeats it."""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import datetime
import functools
from importlib import metadata
from pathlib import Path
import platform
import shlex
import subprocess
from typing import Any

from optuna_evo.attributes import RUNS
from optuna_evo.names import printable
from optuna_evo.names import shown_url
from optuna_evo.study._stored import StoredStudy


__all__ = ["here", "note_run", "runs_of"]

_PACKAGES = ("optuna-evo", "optuna", "torch", "numpy", "scipy", "scikit-learn")
_MOST_RUNS = 20
_MOST_COMMAND = 500  # characters
_GIT_S = 5.0


def note_run(stored: StoredStudy, words: Sequence[str]) -> None:
    """Write on a study what it is run by now; what it was run by before is not written again.

    Args:
        stored: The study.
        words: The command line; passwords in addresses are left out.
    """
    shown = shlex.join(shown_url(word) if "://" in word else printable(word) for word in words)
    run = {"command": shown[:_MOST_COMMAND], **here()}
    known = runs_of(stored)
    if any({**before, "date": ""} == {**run, "date": ""} for before in known):
        return
    stored.study.set_user_attr(RUNS.key, [*known, run][-_MOST_RUNS:])


def runs_of(stored: StoredStudy) -> list[Mapping[str, Any]]:
    """Return what was written of a study's runs, the first one first."""
    found = RUNS.read(stored.study.user_attrs, [])
    return [run for run in found if isinstance(run, Mapping)] if isinstance(found, list) else []


def here() -> dict[str, str]:
    """Return date, commit and versions of what runs here."""
    now = datetime.datetime.now().astimezone()
    return {"date": f"{now:%Y-%m-%d %H:%M %z}", **_versions()}


@functools.cache
def _versions() -> dict[str, str]:
    found = {"commit": _commit()} if _commit() else {}
    packages = []
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages.append(f"{name} {metadata.version(name)}")
    return {
        **found,
        "versions": ", ".join([*packages, f"Python {platform.python_version()}"]),
        "machine": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def _commit() -> str:
    """Return the commit of a checkout of this package; empty where it was installed otherwise."""
    folder = Path(__file__).parents[1]
    git = ["git", "-C", str(folder)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": _GIT_S}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # a virtual environment may lie within somebody's own repository
        ours = subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], **options)
        if ours.returncode == 0:
            found = subprocess.run(
                [*git, "describe", "--always", "--dirty", "--abbrev=12"], **options
            )
            return found.stdout.strip() if found.returncode == 0 else ""
    return ""

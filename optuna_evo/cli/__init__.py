"""The command line: parse, call, print.

Nothing is imported here but what Python brings: `python -m optuna_evo.cli` puts the working folder
first on the import path, and a file there that is called like a library must not take its place.
"""

from collections.abc import Sequence
import os
import sys
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.cli._main import cli as cli

__all__ = ["cli", "main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an error is one line unless `--debug` stands in it."""
    find_own_parts_last()
    from optuna_evo.cli._main import run

    run(args)


def find_own_parts_last() -> None:
    """Put the working folder, where users' parts lie, behind the libraries on the import path."""
    folder = os.getcwd()
    if sys.path[:1] in ([folder], [""]):
        del sys.path[0]
    if folder not in sys.path:
        sys.path.append(folder)


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optuna_evo.cli._main import cli

    return cli

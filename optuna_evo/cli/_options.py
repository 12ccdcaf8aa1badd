"""Options and openers that several commands share."""

from collections.abc import Callable
from pathlib import Path
import re
from typing import Any
from typing import TYPE_CHECKING

import click


if TYPE_CHECKING:
    from rich.console import Console

    from optuna_evo.search import ResilientStorage

__all__ = [
    "data_dir_option",
    "Duration",
    "new_console",
    "open_database",
    "quiet_optuna",
    "run_options",
    "SET",
    "storage_option",
    "WARM_START",
]

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """Seconds from "90", "90s", "30m", "2h" or "1d"."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seconds, or fail with what is allowed."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 2h or 1d.", param, ctx)
        return float(match[1]) * _UNITS_S[match[2] or "s"]


def storage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --storage."""
    return click.option(
        "--storage",
        metavar="URL",
        envvar="OPTUNA_EVO_STORAGE",
        help="Database, such as sqlite:///studies.db, postgresql://user@host/db, "
        "mysql+pymysql://user@host/db, journal://studies.log or grpc://host:13000. "
        "[default: $OPTUNA_EVO_STORAGE, else sqlite:///optuna_evo.db]",
    )(command)


def data_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --data-dir."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="OPTUNA_EVO_DATA",
        help="Folder with data files; without it, they are downloaded. [env: OPTUNA_EVO_DATA]",
    )(command)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --device and --data-dir."""
    device = click.option(
        "--device",
        default="auto",
        show_default=True,
        help="Where to train: cpu, cuda, cuda:1; auto: on a GPU if there is one.",
    )
    return device(data_dir_option(command))


SET = click.option(
    "--set",
    "overrides",
    metavar="A.B=C",
    multiple=True,
    help="Change a value of the spec, such as --set trainer.steps=100. May be repeated.",
)


WARM_START = click.option(
    "--warm-start",
    "sources",
    metavar="STUDY",
    multiple=True,
    help="Start from what an old study found: NAME, URL#NAME in another database, or auto: all "
    "finished studies of the same space. May be repeated.",
)


def open_database(url: str | None, *, create: bool = False) -> "ResilientStorage":
    """Open the database that a command names."""
    from optuna_evo.search import open_storage

    quiet_optuna()
    return open_storage(url, create=create)


def quiet_optuna() -> None:
    """Keep Optuna's information lines, and that a part is experimental, out of what we print."""
    import warnings

    import optuna

    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def new_console() -> "Console":
    """Return where to print: plain text without a terminal."""
    from rich.console import Console

    # Names come from the database: what looks like markup in them is no markup.
    return Console(highlight=False, markup=False, emoji=False)

"""What the shell completes behind Tab: study names, spec files, samplers, pruners, devices.

A completion must answer at once and never print, so names are read by SQL rather than through
Optuna (whose import alone takes longer), the names of parts stand here (a test holds them to the
registry), and whatever goes wrong completes nothing.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import closing
import os
import re
import sqlite3
from typing import Any
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem


__all__ = [
    "add_completion",
    "AGAINST",
    "Choices",
    "DEFAULT_URL",
    "PRUNERS",
    "SAMPLERS",
    "StudyName",
]

DEFAULT_URL = "sqlite:///optuna_evo.db"  # as `optuna_evo.search.default_url`
SAMPLERS = (
    "ga hybrid meta recurrence recurrence_plain recurrence_published thompson "
    "random tpe gp nsgaii cmaes"
).split()
AGAINST = (
    "adafactor adam adamw lion muon nadamw nesterov rmsprop schedulefree sgd soap sophia"
).split()
PRUNERS = (
    "none divergence flatness median percentile wilcoxon hyperband successive_halving"
).split()
_DEVICES = ("auto", "cpu", "cuda")
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)")
_CONNECT_TIMEOUT_S = 2  # longer, and the shell seems to hang
# but those that hold trainings of judgements, which are many
_QUERY = "SELECT study_name FROM studies WHERE study_name NOT LIKE '%/judge/%' ORDER BY study_name"


class StudyName(click.ParamType[str]):
    """A study of the database that --storage, OPTUNA_EVO_STORAGE or the default names.

    Args:
        others: What may stand there besides, such as "auto".
        files: Whether it may be a file as well.
    """

    name = "text"

    def __init__(self, *, others: Iterable[str] = (), files: bool = False) -> None:
        self._others, self._files = tuple(others), files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin as typed; none where there is no database."""
        url = ctx.params.get("storage") or os.environ.get("OPTUNA_EVO_STORAGE") or DEFAULT_URL
        found = _beginning([*_study_names(url), *self._others], incomplete)
        # the shell falls back to files where no name fits, so the file comes first
        return [CompletionItem(incomplete, type="file")] * self._files + found


class Choices(click.ParamType[str]):
    """One of some words, or with `separator` a list of them; other values are allowed too."""

    name = "text"

    def __init__(self, words: Iterable[str], *, separator: str = "") -> None:
        self._words, self._separator = tuple(words), separator

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that begin as typed behind the last separator."""
        before, separator, _ = incomplete.rpartition(self._separator or "\0")
        return _beginning([before + separator + word for word in self._words], incomplete)


_TYPES: Mapping[str, click.ParamType[str]] = {
    "against": Choices(AGAINST, separator=","),
    "device": Choices(_DEVICES),
    "name": StudyName(),
    "target": StudyName(files=True),
    "pruner": Choices(PRUNERS),
    "sampler": Choices(SAMPLERS),
    "samplers": Choices(SAMPLERS, separator=","),
    "sources": StudyName(others=["auto"]),
}
_TAKE_NEW_NAMES = ("create",)


def add_completion(group: click.Group) -> None:
    """Complete the parameters of all commands of a group by their names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            add_completion(command)
        for param in command.params:
            is_new = param.name == "name" and name in _TAKE_NEW_NAMES
            if param.name in _TYPES and not is_new:
                param.type = _TYPES[param.name]


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    # the shell would print what is no character
    return [
        CompletionItem(word)
        for word in words
        if word.startswith(incomplete) and word.isprintable()
    ]


def _study_names(url: str) -> list[str]:
    try:
        match = _SQLITE.match(url)
        return _from_sqlite(match["path"]) if match else _from_server(url)
    except Exception:  # the shell is no place for our errors
        return []


def _from_sqlite(path: str) -> list[str]:
    # read only: opening it otherwise would make a file that is not there
    location = f"file:{quote(os.path.abspath(path))}?mode=ro"
    with closing(sqlite3.connect(location, uri=True, timeout=_CONNECT_TIMEOUT_S)) as connection:
        return [name for (name,) in connection.execute(_QUERY)]


def _from_server(url: str) -> list[str]:
    import sqlalchemy

    options: dict[str, Any] = {"connect_timeout": _CONNECT_TIMEOUT_S}
    engine = sqlalchemy.create_engine(url, connect_args=options, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return [name for (name,) in connection.exec_driver_sql(_QUERY)]

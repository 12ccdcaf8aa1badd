"""From what a command line names to a stored study."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING
import warnings

import click

from optuna_evo.cli._allow import allow_import_option
from optuna_evo.cli._allow import allowance_for
from optuna_evo.cli._allow import remember_parts
from optuna_evo.cli._definition import Definition
from optuna_evo.cli._definition import is_function_of_file
from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna
from optuna_evo.cli._options import storage_option
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import SourceWarning
from optuna_evo.errors import StorageError
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from optuna_evo.spec import StudySpec
    from optuna_evo.study import StoredStudy
    from optuna_evo.warm_start import SourceReader

__all__ = [
    "create_stored",
    "find_spec",
    "load_stored",
    "print_source_warnings",
    "reads_study",
    "source_reader",
    "stored_or_created",
    "stored_study",
]


def create_stored(
    spec: "StudySpec", storage: str | None, *, exist_ok: bool, may_extend: bool = False
) -> "StoredStudy":
    """Write a study to the database, or take the one that is there if it is the same."""
    from optuna_evo.study import check_parts
    from optuna_evo.study import create_study
    from optuna_evo.study import resolve_spec

    quiet_optuna()
    spec = resolve_spec(spec)
    check_parts(spec)  # before the database is touched
    reader = source_reader(spec, storage)
    opened = open_database(storage, create=True)
    with print_source_warnings():
        stored = create_study(
            spec, opened, exist_ok=exist_ok, may_extend=may_extend, reader=reader
        )
    remember_parts(spec, storage)
    return stored


def load_stored(
    name: str,
    storage: str | None,
    *,
    to_run: bool = False,
    opened: "BaseStorage | None" = None,
) -> "StoredStudy":
    """Load a study by its name; the sources it starts from are read only where it is to run.

    Its spec comes from whoever can write to the database: what it names is imported only where the
    user allows it.
    """
    from optuna_evo.study import load_study

    opened = opened or open_database(storage)
    allowed = allowance_for(name, storage)
    with print_source_warnings():
        return load_study(name, opened, to_run=to_run, allow_import=allowed)


def reads_study(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command that shows a study say in one line that what is stored of it is damaged."""

    @functools.wraps(command)
    def reading(**options: Any) -> Any:
        try:
            return command(**options)
        except OptunaEvoError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            raise StorageError(
                f"Study {options['name']!r} is damaged: a value in it is none that we wrote "
                f"({type(error).__name__}: {reason[:300]})."
            ) from error

    return reading


def stored_study(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add NAME, --storage and --allow-import to a command that shows a study."""
    command = allow_import_option(reads_study(command))
    return click.argument("name")(storage_option(command))


def find_spec(name: str, storage: str | None) -> "StudySpec | None":
    """Return the spec of a study; None if there is no such study, or no database yet."""
    from optuna_evo.search import database_exists
    from optuna_evo.search import default_url
    from optuna_evo.search import study_names

    if not database_exists(storage or default_url()):
        return None
    if name not in study_names(open_database(storage)):
        return None
    return load_stored(name, storage).spec


def stored_or_created(
    target: str, storage: str | None, definition: Definition, n_trials: int | None
) -> "StoredStudy":
    """Load a study by its name, or make that of a SPEC file or a FILE.py:FUNCTION.

    Args:
        target: What the command line names.
        storage: The database.
        definition: What its options say of the study.
        n_trials: Trials of a study of a function; None: as stored, or the usual number.
    """
    if target.endswith(".toml"):
        return create_stored(definition.spec_of_file(Path(target)), storage, exist_ok=True)
    if is_function_of_file(target):
        known = find_spec(definition.name_for(target), storage)
        spec = definition.spec_of_function(target, known, n_trials)
        return create_stored(spec, storage, exist_ok=True, may_extend=True)
    definition.refuse_for_stored(target)
    return load_stored(target, storage, to_run=True)


def source_reader(spec: "StudySpec", storage: str | None) -> "SourceReader | None":
    """Return what reads the sources of a study that is to be made; None if it has none.

    Where its database is yet to be made, the sources are looked at first, so that a wrong one
    leaves no file.
    """
    from optuna.storages import InMemoryStorage

    from optuna_evo.search import database_exists
    from optuna_evo.search import default_url
    from optuna_evo.search import open_storage
    from optuna_evo.study import space_parameters
    from optuna_evo.warm_start import resolve_references
    from optuna_evo.warm_start import SourceReader

    if not spec.warm_start:
        return None
    url = storage or default_url()
    if database_exists(url):
        return SourceReader(open_storage(url, create=False, read_only=True), url=url)
    reader = SourceReader(InMemoryStorage(), url=url)
    resolve_references(spec, space_parameters(spec), reader)
    return reader


@contextlib.contextmanager
def print_source_warnings() -> Iterator[None]:
    """Print each warning of a source that cannot be read as one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SourceWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, SourceWarning):
            click.echo(f"Warning: {printable(str(warning.message))}", err=True)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )

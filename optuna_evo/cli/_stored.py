"""From what a command line names to a stored study."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import TYPE_CHECKING
import warnings

import click

from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna
from optuna_evo.errors import SourceWarning


if TYPE_CHECKING:
    from optuna_evo.spec import StudySpec
    from optuna_evo.study import StoredStudy
    from optuna_evo.warm_start import SourceReader

__all__ = [
    "create_stored",
    "load_stored",
    "print_source_warnings",
    "source_reader",
    "stored_or_created",
    "with_sources",
]


def create_stored(spec: "StudySpec", storage: str | None, *, exist_ok: bool) -> "StoredStudy":
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
        return create_study(spec, opened, exist_ok=exist_ok, reader=reader)


def load_stored(name: str, storage: str | None, *, to_run: bool = False) -> "StoredStudy":
    """Load a study by its name; the sources it starts from are read only where it is to run."""
    from optuna_evo.study import load_study

    opened = open_database(storage)
    with print_source_warnings():
        return load_study(name, opened, to_run=to_run)


def stored_or_created(
    name_or_spec: str, storage: str | None, overrides: tuple[str, ...], sources: tuple[str, ...]
) -> "StoredStudy":
    """Load a study by its name, or make the one that a SPEC file describes."""
    from optuna_evo.spec import load_spec

    if name_or_spec.endswith(".toml"):
        spec = with_sources(load_spec(name_or_spec, overrides=overrides), sources)
        return create_stored(spec, storage, exist_ok=True)
    if overrides:
        raise click.UsageError("--set goes with a SPEC file; a stored study keeps its spec.")
    if sources:
        raise click.UsageError(
            "--warm-start goes with a SPEC file; a stored study keeps its sources, see "
            f"`optuna_evo study sources {name_or_spec}`."
        )
    return load_stored(name_or_spec, storage, to_run=True)


def with_sources(spec: "StudySpec", sources: Sequence[str]) -> "StudySpec":
    """Add what --warm-start names to a spec."""
    return dataclasses.replace(spec, warm_start=(*spec.warm_start, *sources))


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
            click.echo(f"Warning: {warning.message}", err=True)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )

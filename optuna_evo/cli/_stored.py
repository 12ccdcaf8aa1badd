"""From what a command line names to a stored study."""

from typing import TYPE_CHECKING

import click

from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna


if TYPE_CHECKING:
    from optuna_evo.spec import StudySpec
    from optuna_evo.study import StoredStudy

__all__ = ["create_stored", "load_stored", "stored_or_created"]


def create_stored(spec: "StudySpec", storage: str | None, *, exist_ok: bool) -> "StoredStudy":
    """Write a study to the database, or take the one that is there if it is the same."""
    from optuna_evo.parts import check_parts
    from optuna_evo.study import create_study

    quiet_optuna()
    check_parts(spec)  # before the database is touched
    return create_study(spec, open_database(storage, create=True), exist_ok=exist_ok)


def load_stored(name: str, storage: str | None) -> "StoredStudy":
    """Load a study by its name."""
    from optuna_evo.study import load_study

    return load_study(name, open_database(storage))


def stored_or_created(
    name_or_spec: str, storage: str | None, overrides: tuple[str, ...]
) -> "StoredStudy":
    """Load a study by its name, or make the one that a SPEC file describes."""
    from optuna_evo.spec import load_spec

    if name_or_spec.endswith(".toml"):
        return create_stored(load_spec(name_or_spec, overrides=overrides), storage, exist_ok=True)
    if overrides:
        raise click.UsageError("--set goes with a SPEC file; a stored study keeps its spec.")
    return load_stored(name_or_spec, storage)

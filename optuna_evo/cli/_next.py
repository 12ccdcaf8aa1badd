"""What next: the end of every command, as lines to copy."""

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from optuna_evo.names import shown_url


if TYPE_CHECKING:
    from optuna_evo.study import StoredStudy

__all__ = ["print_next", "print_next_of_controllers", "print_next_of_database"]


def print_next(
    command: str, stored: "StoredStudy", *, err: bool = False, url: str | None = None
) -> None:
    """Print the commands that make sense after one about a study.

    Args:
        command: What was done, such as "run".
        stored: The study.
        err: Whether to print to the error stream, where the output itself is data.
        url: Its database, where that is not the one of --storage.
    """
    from optuna_evo.study import next_lines
    from optuna_evo.study import state_of

    _print(
        next_lines(
            command, state_of(stored), storage=without_password(url) if url else shown_storage()
        ),
        err,
    )


def print_next_of_database(command: str, name: str | None = None) -> None:
    """Print the commands that make sense after one about a database.

    Args:
        command: What was done, such as "list".
        name: The study that the next command may be about; None: none.
    """
    from optuna_evo.study import next_lines
    from optuna_evo.study import StudyState

    state = None if name is None else StudyState(name=name, is_known=False)
    _print(next_lines(command, state, storage=shown_storage()), False)


def print_next_of_controllers(command: str, name: str | None) -> None:
    """Print the commands that make sense after one about learned optimizers."""
    from optuna_evo.study import controller_lines

    _print(controller_lines(command, name), False)


def shown_storage() -> str | None:
    """Return what --storage is to say; None where it was not given on the command line.

    A password stays out of what is printed: drivers find it where it belongs.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.params.get("storage") is None:
        return None
    if context.get_parameter_source("storage") != ParameterSource.COMMANDLINE:
        return None
    return without_password(str(context.params["storage"]))


def without_password(url: str) -> str:
    """Return a URL that opens the same database, if the driver knows the password."""
    from optuna_evo.warm_start import public_url

    return url if shown_url(url) == url else public_url(url)


def _print(lines: list[str], err: bool) -> None:
    if lines:
        click.echo("\nNext:", err=err)
        for line in lines:
            click.echo(f"  {line}", err=err)

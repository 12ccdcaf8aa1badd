"""The command line as a whole.

Heavy imports stand inside the commands, so `optuna_evo --help` answers at once.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import sys
from typing import Any
import warnings

import click

from optuna_evo.cli._completion import add_completion
from optuna_evo.cli._dashboard import dashboard
from optuna_evo.cli._optimizer import optimizer
from optuna_evo.cli._study import study
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import TableWarning
from optuna_evo.names import printable


__all__ = ["cli", "run"]


def run(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an error is one line unless `--debug` stands in it."""
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    # Before torch is imported: waiting threads that spin make training on shared cores ten times
    # slower (measured with a small CNN on two busy cores: 550 ms per step, 55 ms without).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _warnings_as_lines():
            # commands find under `obj` what was typed
            code = cli.main(
                arguments, prog_name="optuna_evo", standalone_mode=False, obj=tuple(arguments)
            )
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # a search says what became of its trials; click makes an Abort of it
        click.echo(str(error.__cause__ or error) or "Interrupted.", err=True)
        code = 130
    except OptunaEvoError as error:
        if debug:
            raise
        click.echo(f"Error: {printable(str(error))}", err=True)
        code = error.exit_code
    except OSError as error:
        if debug:
            raise
        named = f"{error.filename}: " if error.filename else ""
        click.echo(f"Error: {printable(f'{named}{error.strerror or error}')}.", err=True)
        code = 1
    except Exception as error:
        if debug:
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        told = f"{type(error).__name__}: {printable(first_line)}"
        click.echo(f"Error: {told} (--debug shows where)", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print each note on a table as one line, once per command, however often it is read."""
    said = set()
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
        if not issubclass(category, TableWarning):
            show_others(message, category, *rest, **options)
        elif str(message) not in said:
            said.add(str(message))
            click.echo(f"Note: {printable(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", TableWarning)
        warnings.showwarning = show
        yield


@click.group()
@click.version_option(package_name="optuna-evo")
def cli() -> None:
    """Evolve optimizers and hyperparameters of PyTorch models with Optuna.

    A study is a search whose trials are stored in a database, by default optuna_evo.db in this
    folder. A TOML file describes it (a SPEC, such as those in studies/), or a Python file with
    your own Optuna objective.

    \b
    Examples:
      optuna_evo study run studies/digits_optimizer.toml
      optuna_evo study run my_script.py:objective
      optuna_evo study show digits_optimizer
      optuna_evo dashboard

    Every command takes --debug, which shows the traceback of an error.
    """


cli.add_command(dashboard)
cli.add_command(optimizer)
cli.add_command(study)
add_completion(cli)

"""`optuna_evo study lineage`, and what else studies of lineages can do on the command line."""

from collections.abc import Callable
from typing import Any

import click

from optuna_evo.cli._next import print_next
from optuna_evo.cli._options import new_console
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_study


__all__ = [
    "checkpoints_option",
    "study_lineage",
]


def checkpoints_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --checkpoints."""
    return click.option(
        "--checkpoints",
        metavar="PLACE",
        envvar="OPTUNA_EVO_CHECKPOINTS",
        help="Where checkpoints of population-based training are saved: a folder or "
        "s3://bucket/prefix. "
        "[env: OPTUNA_EVO_CHECKPOINTS; default: the spec's, else a folder beside the database]",
    )(command)


@click.command("lineage", short_help="Print the trials that trained the best model.")
@stored_study
@click.option("--all", "show_all", is_flag=True, help="Show all lineages in full.")
def study_lineage(name: str, storage: str | None, show_all: bool) -> None:
    """Print the lineage of the best model: the trials that trained it, with hyperparameters.

    For studies of population-based training, where a trial goes on from its parent's weights. A
    branch that does not lead to the best model is one line, with the number of its descendants.

    \b
    Example:
      optuna_evo study lineage aeon_gpt2
    """
    from optuna_evo.export import winner
    from optuna_evo.reports import lineage_tree
    from optuna_evo.reports import summarise_lineages

    stored = load_stored(name, storage)
    lineages = summarise_lineages(stored.study, winner(stored).number)
    new_console().print(lineage_tree(lineages, show_all=show_all))
    print_next("lineage", stored)

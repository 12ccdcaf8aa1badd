"""`optuna_evo study lineage`, and what else studies of lineages can do on the command line."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._stored import load_stored
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna_evo.search import Listener
    from optuna_evo.study import StoredStudy

__all__ = [
    "checkpoints_option",
    "export_model",
    "export_schedule",
    "export_trained",
    "study_lineage",
    "with_figures",
]

_GENERATION = 10  # trials, where a sampler has no population


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


def with_figures(stored: "StoredStudy", listener: "Listener") -> "Listener":
    """Return a listener that updates the figures of a study of lineages once per generation."""
    from optuna_evo.objectives import kind_of
    from optuna_evo.reports import LineagePages

    if not kind_of(stored.spec).has_lineages:
        return listener
    every = getattr(stored.study.sampler, "population_size", _GENERATION)
    inherit = stored.spec.lineage.inherit
    return LineagePages(stored.study, inherit=inherit, every=every, listener=listener)


@click.command("lineage", short_help="Print the trials that trained the best model.")
@click.argument("name")
@storage_option
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


def export_model(
    name: str, storage: str | None, folder: Path, checkpoints: str | None, data_dir: Path | None
) -> None:
    """Write the winning model of a study into a folder."""
    from optuna_evo.export import export_weights

    stored = load_stored(name, storage)
    trial = export_weights(stored, folder, checkpoints=checkpoints, data_dir=data_dir)
    wrote = f"Wrote the model of trial {trial.number}, value {trial.value:.4f}, to {folder}"
    click.echo(printable(wrote))


def export_schedule(name: str, storage: str | None, file: Path) -> None:
    """Write the hyperparameters along a study's winning line to a file."""
    from optuna_evo.export import schedule_of

    schedule = schedule_of(load_stored(name, storage))
    file.write_text(json.dumps(schedule.to_dict(), indent=2) + "\n", encoding="utf-8")
    click.echo(printable(f"Wrote the schedule of {schedule.total_steps} steps to {file}"))


def export_trained(name: str, storage: str | None, folder: Path) -> None:
    """Write the controller that a study's best trial meta-trained into a folder."""
    from optuna_evo.export import export_controller

    trial = export_controller(load_stored(name, storage), folder)
    click.echo(
        printable(
            f"Wrote the controller of trial {trial.number}, loss {trial.value:.4g}, to {folder}"
        )
    )

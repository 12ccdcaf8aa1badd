"""`optuna_evo study export`: what a study found, as files."""

import json
from pathlib import Path

import click

from optuna_evo.cli._lineage import checkpoints_option
from optuna_evo.cli._next import print_next
from optuna_evo.cli._options import data_dir_option
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_study
from optuna_evo.errors import UsageError
from optuna_evo.files import write_text
from optuna_evo.names import printable


__all__ = ["study_export"]


@click.command("export", short_help="Write the best genome, or the best model and schedule.")
@stored_study
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: a name that ends in .py is an optimizer that needs nothing but torch.",
)
@click.option(
    "--weights",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the model of population-based training, in Hugging Face's format.",
)
@click.option(
    "--schedule",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the hyperparameters that trained the winning model to, as JSON.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Stretch the schedule to so many optimizer steps, such as all that the study spent.",
)
@click.option(
    "--controller",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the learned optimizer that the best trial meta-trained.",
)
@checkpoints_option
@data_dir_option
def study_export(
    name: str,
    storage: str | None,
    out: Path | None,
    weights: Path | None,
    schedule: Path | None,
    steps: int | None,
    controller: Path | None,
    checkpoints: str | None,
    data_dir: Path | None,
) -> None:
    """Print the best genome as JSON, ready for `Genome.from_dict`, or write what a study made.

    To a file that ends in .py, the genome is written as a class that updates as it does, bit for
    bit, in readable lines.

    Of a study without genomes, the best parameters are printed.

    \b
    Examples:
      optuna_evo study export digits_optimizer --out genome.json
      optuna_evo study export digits_optimizer --out rule.py
      optuna_evo study export aeon_gpt2 --weights model --schedule schedule.json
      optuna_evo study export aeon_gpt2 --schedule long.json --steps 5000
      optuna_evo study export learned_optimizer_search --controller mine
    """
    from optuna_evo.export import rule_program
    from optuna_evo.study import best_settings

    if steps is not None and schedule is None:
        raise UsageError("--steps is the length of a schedule: give its file by --schedule FILE.")
    if weights is not None:
        _export_model(name, storage, weights, checkpoints, data_dir)
    if schedule is not None:
        _export_schedule(name, storage, schedule, steps)
    if controller is not None:
        _export_trained(name, storage, controller)
    stored = load_stored(name, storage)
    if any(place is not None for place in (weights, schedule, controller)):
        print_next("export", stored)
        return
    if out is not None and out.suffix == ".py":
        text = rule_program(stored)
    else:
        text = json.dumps(best_settings(stored), indent=2) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)
        click.echo(printable(f"Wrote {out}."))
    # what is printed is to be read by a program
    print_next("export", stored, err=out is None)


def _export_model(
    name: str, storage: str | None, folder: Path, checkpoints: str | None, data_dir: Path | None
) -> None:
    """Write the winning model of a study into a folder."""
    from optuna_evo.export import export_weights

    stored = load_stored(name, storage)
    trial = export_weights(stored, folder, checkpoints=checkpoints, data_dir=data_dir)
    wrote = f"Wrote the model of trial {trial.number}, value {trial.value:.4f}, to {folder}"
    click.echo(printable(wrote))


def _export_schedule(name: str, storage: str | None, file: Path, steps: int | None) -> None:
    """Write the hyperparameters along a study's winning line to a file."""
    from optuna_evo.export import schedule_of

    schedule = schedule_of(load_stored(name, storage))
    if steps is not None:
        schedule = schedule.stretched(steps)
    write_text(file, json.dumps(schedule.to_dict(), indent=2) + "\n")
    click.echo(printable(f"Wrote the schedule of {schedule.total_steps} steps to {file}"))


def _export_trained(name: str, storage: str | None, folder: Path) -> None:
    """Write the controller that a study's best trial meta-trained into a folder."""
    from optuna_evo.export import export_controller

    trial = export_controller(load_stored(name, storage), folder)
    told = f"Wrote the controller of trial {trial.number}, loss {trial.value:.4g}, to {folder}"
    click.echo(printable(told))

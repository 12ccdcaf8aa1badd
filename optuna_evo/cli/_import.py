"""`optuna_evo study import`: a study of runs that were never Optuna's."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna
from optuna_evo.cli._options import storage_option
from optuna_evo.names import printable
from optuna_evo.names import quoted


if TYPE_CHECKING:
    from optuna_evo.study import ImportedRuns

__all__ = ["study_import"]


@click.command("import", short_help="Make a study of runs in a CSV or JSON file.")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--value", required=True, metavar="COLUMN", help="Column of the value.")
@click.option(
    "--direction",
    required=True,
    type=click.Choice(["minimize", "maximize"]),
    help="Whether lower or higher values are better.",
)
@click.option(
    "--params",
    metavar="A,B,…",
    help="Columns of the parameters. [default: as the export says, or by their names]",
)
@click.option(
    "--space",
    "space_file",
    metavar="SPEC",
    type=click.Path(path_type=Path),
    help="Take the ranges of this spec, or of a table [parameters], not inferred ones.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be made, and write nothing.")
@storage_option
def study_import(
    name: str,
    file: Path,
    value: str,
    direction: str,
    params: str | None,
    space_file: Path | None,
    dry_run: bool,
    storage: str | None,
) -> None:
    """Make a finished study NAME of the runs in FILE, so that new studies start from them.

    FILE is CSV or TSV with a line for each run, JSON lines, a JSON list, or parquet; also as .gz,
    .bz2 or .xz. Exports of W&B, MLflow, Ray Tune and Optuna are known: which columns are
    parameters, how a run ended, when it ran. Ranges are inferred and said: look at them with
    --dry-run first. Failed runs become failed trials with their reason, an empty cell a parameter
    that the run did not have, and all other columns attributes of the trial.

    \b
    Examples:
      optuna_evo study import old runs.csv --value val_loss --direction minimize --dry-run
      optuna_evo study import old runs.csv --value accuracy --direction maximize \\
          --params lr,batch_size,optimizer
      optuna_evo study run my_script.py:objective --warm-start old
    """
    from optuna_evo.search import database_exists
    from optuna_evo.search import default_url
    from optuna_evo.spec import StudySpec
    from optuna_evo.study import check_free
    from optuna_evo.study import read_runs
    from optuna_evo.study import read_space
    from optuna_evo.study import store_runs

    quiet_optuna()
    StudySpec(name=name)  # says what is wrong with a name before there is a database
    if database_exists(storage or default_url()):
        check_free(name, open_database(storage))
    runs = read_runs(
        file,
        value=value,
        direction=direction,
        params=None if params is None else [p.strip() for p in params.split(",") if p.strip()],
        space=None if space_file is None else read_space(space_file),
    )
    _print_runs(runs)
    if dry_run:
        click.echo("Nothing is written: leave out --dry-run to make the study.")
        return
    store_runs(name, runs, open_database(storage, create=True))
    click.echo(
        printable(
            f"Made study {name!r}; start a new one from it by --warm-start {quoted(name)}, and "
            f"look at it by: optuna_evo study show {quoted(name)}"
        )
    )


def _print_runs(runs: "ImportedRuns") -> None:
    from optuna.trial import TrialState

    counts = {
        "complete": runs.count(TrialState.COMPLETE),
        "pruned": runs.count(TrialState.PRUNED),
        "failed": runs.count(TrialState.FAIL),
    }
    said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    what = f"{len(runs.trials)} runs ({said}); {runs.direction} {runs.value}"
    click.echo(printable(f"{runs.source}: {what}"))
    for note in runs.notes:
        click.echo(printable(f"  {note}"))

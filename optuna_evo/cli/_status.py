"""`optuna_evo study status`: how a study goes, wherever its workers are."""

import sys
import time

import click

from optuna_evo.cli._next import print_next
from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._stored import load_stored


__all__ = ["study_status"]


@click.command("status", short_help="Show workers, speed, failures and the time left.")
@click.argument("name")
@storage_option
@click.option("--watch", is_flag=True, help="Show it again and again until the study is finished.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
def study_status(name: str, storage: str | None, watch: bool, every: float) -> None:
    """Show how a study goes: workers alive, speed, failures by cause, the time left.

    All is read from the database, so that any machine can ask. A worker counts as alive while its
    last heartbeat is younger than the grace period, two minutes.

    \b
    Examples:
      optuna_evo study status digits_optimizer
      optuna_evo study status digits_optimizer --watch
    """
    from optuna_evo.workers import status_panel
    from optuna_evo.workers import study_status as read_status

    stored = load_stored(name, storage)
    console = new_console()

    def look() -> bool:
        status = read_status(stored.study, stored.spec.n_trials)
        if watch and console.is_terminal:
            console.clear()
        console.print(status_panel(status))
        return status.n_finished < status.n_trials

    try:
        while look() and watch:
            sys.stdout.flush()
            time.sleep(every)
    except KeyboardInterrupt:  # how one stops watching
        click.echo()
    print_next("status", stored)

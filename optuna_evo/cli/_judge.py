"""`optuna_evo study judge`: what a study found beside tuned optimizers, on equal terms."""

import json
from pathlib import Path
import signal
import sys

import click

from optuna_evo.cli._allow import allow_import_option
from optuna_evo.cli._next import print_next
from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import run_options
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._printing import print_judgement
from optuna_evo.cli._stored import load_stored
from optuna_evo.files import write_text
from optuna_evo.names import printable


__all__ = ["study_judge"]


@click.command("judge", short_help="Judge the best rule beside tuned optimizers.")
@click.argument("name")
@storage_option
@allow_import_option
@click.option(
    "--against",
    metavar="A,B,…",
    help="Of adamw, adam, nadamw, sgd, nesterov, rmsprop, adafactor, lion, muon, soap, sophia, "
    "schedulefree (the last three need the extra judge), genomes of the catalog, and files that "
    "`study export` wrote. [default: adamw,nadamw,sgd,rmsprop,lion]",
)
@click.option(
    "--tasks",
    metavar="T,U,…",
    help="Unseen tasks, such as digits+width=128,digits+steps=5x,wine. [default: other data, "
    "another width, five times the steps]",
)
@click.option(
    "--optimizer",
    metavar="FILE|NAME",
    help="Judge this instead of what the study found: an exported .json or .py file, a genome of "
    "the catalog, or a learned optimizer.",
)
@click.option(
    "--budget",
    default=16,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Tuning trials of everybody on each task.",
)
@click.option(
    "--seeds",
    default=10,
    show_default=True,
    type=click.IntRange(2, 10_000),
    help="Paired test trainings on each task.",
)
@click.option(
    "--precision",
    type=click.FloatRange(min=0, min_open=True),
    help="Test on more seeds until the 95 % interval of the difference to the best tuned baseline "
    "has this half width.",
)
@click.option(
    "--schedules/--no-schedules",
    default=None,
    help="Schedules for all, or for none. [default: both tables]",
)
@click.option(
    "--target", "goal", type=float, help="Validation loss to reach. [default: see below]"
)
@click.option(
    "--predecessor",
    metavar="NAME",
    help="Whom it should be better than. [default: the first of --against]",
)
@click.option(
    "--top",
    default=5,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Best rules of the study that are measured again before one is the winner.",
)
@click.option(
    "--tunings",
    type=click.IntRange(1, 10_000),
    help="Tune everybody so often anew, each time for a share of the seeds: the luck of tuning is "
    "then in the intervals. 1 is quick, and says less. [default: 8, at most --seeds]",
)
@click.option(
    "--tuning-share",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Length of tuning trainings to tests: whole schedules, shortened.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all rows and tables to this JSON file.",
)
@click.option("--quick", is_flag=True, help="Only the short comparison that ends a run, afresh.")
@run_options
def study_judge(
    name: str,
    storage: str | None,
    against: str | None,
    tasks: str | None,
    optimizer: str | None,
    budget: int,
    seeds: int,
    precision: float | None,
    schedules: bool | None,
    goal: float | None,
    predecessor: str | None,
    top: int,
    tunings: int | None,
    tuning_share: float,
    out: Path | None,
    quick: bool,
    device: str,
    data_dir: Path | None,
) -> None:
    """Judge the best rule of a study: is it any good, and is it better than tuned optimizers?

    The best few are measured again on other tasks with fresh seeds, and the winner of that is
    judged. Everybody, the winner too, is tuned over as many trials in a space of his own, on
    validation rows; then all train with the same fresh seeds and are measured on test rows, once.
    There are three tables: with schedules for all, with schedules for none, and with equal step
    sizes, which compares the update rules alone. The target is the best tuned baseline's median.

    What is trained goes into the database, as studies NAME/judge/…, which `study list` leaves out:
    a judgement that was stopped or killed goes on with the same command, a second shell with the
    same command shares the work, more seeds or rivals cost only what is new.

    \b
    Examples:
      optuna_evo study judge digits_optimizer
      optuna_evo study judge digits_optimizer --against adamw,muon,soap --budget 64
      optuna_evo study judge digits_optimizer --tasks wine,digits+width=256 --precision 0.005
      optuna_evo study judge digits_optimizer --optimizer rule.py --against adamw,old_rule.json
    """
    from optuna_evo.study import show_in_dashboard

    console = new_console()
    stored = load_stored(name, storage)
    if quick:
        print_judgement(stored, console, device, data_dir, afresh=True)
        show_in_dashboard(stored)
        print_next("judge", stored)
        return
    from optuna_evo.reports import judgement_view
    from optuna_evo.reports import JudgeProgress
    from optuna_evo.study import judge_stored

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    terms = {} if against is None else {"against": _names(against)}
    with JudgeProgress(console) as progress:
        found = judge_stored(
            stored,
            what=optimizer,
            tasks=None if tasks is None else _names(tasks),
            budget=budget,
            seeds=seeds,
            precision=precision,
            schedules=schedules,
            target=goal,
            predecessor=predecessor,
            top=top,
            tunings=tunings,
            tuning_share=tuning_share,
            device=device,
            data_dir=data_dir,
            on_run=progress.count,
            **terms,
        )
    console.print(judgement_view(found))
    if out is not None:
        write_text(out, json.dumps(found.to_dict(), indent=2) + "\n")
        click.echo(printable(f"Wrote {out}."))
    show_in_dashboard(stored)
    print_next("judge", stored)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]

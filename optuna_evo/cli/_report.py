"""`optuna_evo study report`: a study to look at, in one file."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._next import print_next
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_study
from optuna_evo.names import file_stem
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna_evo.study import StoredStudy

__all__ = ["study_report"]

_REPORTS = (".html", ".md")


@click.command("report", short_help="Write the whole course of a study into one file.")
@stored_study
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: .html, .md (with PNG files beside it), or a picture, such as .png. "
    "[default: NAME.html]",
)
def study_report(name: str, storage: str | None, out: Path | None) -> None:
    """Write a report of a study: all that there is to see of it.

    The best so far with the judge's baselines, each task, the population and what it uses, which
    parameters matter, lineages, the judge's table, what it cost, and how to repeat it: spec,
    command, seed, date, commit, versions. A file that ends in .html holds all of that, and opens
    without a server, a network or scripts. One that ends in .md has its pictures beside it.

    A file that ends otherwise, such as .png, is one picture of the course; a judgement is drawn
    beside it, as NAME_judged.png, and what the best controller of a study that meta-trains does
    over a run, as NAME_controller.png.

    The study's page in the dashboard is brought up to date too.

    \b
    Examples:
      optuna_evo study report digits_optimizer -o report.html
      optuna_evo study report hybrid_alexnet_mnist --out hybrid_tuning_results.png
    """
    from optuna_evo.reports import write_report
    from optuna_evo.study import best_trial
    from optuna_evo.study import show_in_dashboard
    from optuna_evo.study import study_report as compute

    stored = load_stored(name, storage)
    best_trial(stored)  # says so if there is nothing to draw yet
    path = out or Path(f"{file_stem(name)}.html")
    if path.suffix.lower() in _REPORTS:
        written = write_report(compute(stored), path)
    else:
        written = _draw(stored, path)
    show_in_dashboard(stored)
    click.echo(printable(f"Wrote {' and '.join(map(str, written))}."))
    print_next("report", stored)


def _draw(stored: "StoredStudy", path: Path) -> list[Path]:
    """Draw the course of a study, its judgement, and what its controller does."""
    from optuna_evo.errors import UsageError
    from optuna_evo.objectives import kind_of
    from optuna_evo.reports import analyse_trace
    from optuna_evo.reports import analysis_line
    from optuna_evo.reports import draw_controller
    from optuna_evo.reports import draw_judgement
    from optuna_evo.reports import draw_tuning_course
    from optuna_evo.reports import tuning_course
    from optuna_evo.study import stored_judgement
    from optuna_evo.study import trace_best

    draw_tuning_course(tuning_course(stored.study, cost=stored.spec.objective.cost), path)
    written = [path]
    if rows := stored_judgement(stored):
        judged = path.with_stem(f"{path.stem}_judged")
        steps, seeds = stored.spec.trainer.steps, len(rows[0].by_seed)
        title = f"{', '.join(stored.spec.tasks)}: {steps} steps, {seeds} fresh seeds"
        draw_judgement(rows, judged, title=title)
        written.append(judged)
    if kind_of(stored.spec).trains_controllers:
        with contextlib.suppress(UsageError):  # the best is a genome
            trained = path.with_stem(f"{path.stem}_controller")
            found = trace_best(stored)
            draw_controller(found, trained)
            written.append(trained)
            for each, analysis in analyse_trace(found).items():
                click.echo(printable(analysis_line(each, analysis)))
    return written

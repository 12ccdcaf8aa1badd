"""`optuna_evo study report`: the course of a study as pictures."""

import contextlib
from pathlib import Path

import click

from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_study
from optuna_evo.names import file_stem
from optuna_evo.names import printable


__all__ = ["study_report"]


@click.command("report", short_help="Draw the course of a study.")
@stored_study
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG file to write. [default: NAME.png]",
)
def study_report(name: str, storage: str | None, out: Path | None) -> None:
    """Draw the course of a study: values, generations, best so far, predicted and real.

    The picture goes to a PNG file and, as a figure, to the study's page in the dashboard; a
    judgement is drawn beside it, as NAME_judged.png, and what the best controller of a study that
    meta-trains does over a run, as NAME_controller.png.

    \b
    Example:
      optuna_evo study report hybrid_alexnet_mnist --out hybrid_tuning_results.png
    """
    from optuna_evo.errors import UsageError
    from optuna_evo.objectives import kind_of
    from optuna_evo.reports import analyse_trace
    from optuna_evo.reports import analysis_line
    from optuna_evo.reports import draw_controller
    from optuna_evo.reports import draw_judgement
    from optuna_evo.reports import draw_tuning_course
    from optuna_evo.reports import tuning_course
    from optuna_evo.study import best_trial
    from optuna_evo.study import show_in_dashboard
    from optuna_evo.study import stored_judgement
    from optuna_evo.study import trace_best

    stored = load_stored(name, storage)
    best_trial(stored)  # says so if there is nothing to draw yet
    path = out or Path(f"{file_stem(name)}.png")
    draw_tuning_course(tuning_course(stored.study, stored.spec.objective.cost), path)
    written = [str(path)]
    if rows := stored_judgement(stored):
        judged = path.with_stem(f"{path.stem}_judged")
        steps, seeds = stored.spec.trainer.steps, len(rows[0].by_seed)
        title = f"{', '.join(stored.spec.tasks)}: {steps} steps, {seeds} fresh seeds"
        draw_judgement(rows, judged, title=title)
        written.append(str(judged))
    if kind_of(stored.spec).trains_controllers:
        with contextlib.suppress(UsageError):  # the best is a genome
            trained = path.with_stem(f"{path.stem}_controller")
            found = trace_best(stored)
            draw_controller(found, trained)
            written.append(str(trained))
            for each, analysis in analyse_trace(found).items():
                click.echo(printable(analysis_line(each, analysis)))
    show_in_dashboard(stored)
    click.echo(printable(f"Wrote {' and '.join(written)}; the dashboard shows the course too."))

"""`optuna_evo study ...`: create, run, show and compare studies."""

from pathlib import Path
import signal
import sys

import click

from optuna_evo.cli._allow import allow_import_option
from optuna_evo.cli._allow import forget_study
from optuna_evo.cli._compare import study_compare_samplers
from optuna_evo.cli._databases import study_copy
from optuna_evo.cli._databases import study_upgrade
from optuna_evo.cli._definition import Definition
from optuna_evo.cli._definition import definition_options
from optuna_evo.cli._definition import is_function_of_file
from optuna_evo.cli._definition import with_sources
from optuna_evo.cli._export import study_export
from optuna_evo.cli._import import study_import
from optuna_evo.cli._judge import study_judge
from optuna_evo.cli._lineage import checkpoints_option
from optuna_evo.cli._lineage import study_lineage
from optuna_evo.cli._next import print_next
from optuna_evo.cli._next import print_next_of_database
from optuna_evo.cli._options import Duration
from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import run_options
from optuna_evo.cli._options import SET
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._options import WARM_START
from optuna_evo.cli._printing import print_final
from optuna_evo.cli._printing import print_judgement
from optuna_evo.cli._printing import print_sources_line
from optuna_evo.cli._printing import print_summary
from optuna_evo.cli._report import study_report
from optuna_evo.cli._sources import study_sources
from optuna_evo.cli._status import study_status
from optuna_evo.cli._stored import create_stored
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_or_created
from optuna_evo.cli._stored import stored_study
from optuna_evo.cli._workers import worker_options
from optuna_evo.cli._workers import WorkerOptions
from optuna_evo.names import printable


__all__ = ["study"]


@click.group()
def study() -> None:
    """Create, run, show and compare studies."""


@study.command("create", short_help="Write a new study, made from a TOML file.")
@click.argument("name")
@click.argument("spec_file", metavar="SPEC", type=click.Path(path_type=Path))
@storage_option
@SET
@WARM_START
def study_create(
    name: str,
    spec_file: Path,
    storage: str | None,
    overrides: tuple[str, ...],
    sources: tuple[str, ...],
) -> None:
    """Write a new study NAME, made from the TOML file SPEC, to the database.

    \b
    Examples:
      optuna_evo study create mine studies/digits_optimizer.toml --set n_trials=500
      optuna_evo study create new SPEC.toml --warm-start old --warm-start sqlite:///b.db#older
      optuna_evo study create new SPEC.toml --warm-start auto
    """
    from optuna_evo.spec import load_spec

    spec = with_sources(load_spec(spec_file, overrides=overrides, changes={"name": name}), sources)
    stored = create_stored(spec, storage, exist_ok=False)
    if spec.warm_start:
        print_sources_line(stored)
    click.echo(f"Created study {name!r}.")
    print_next("create", stored)


@study.command("run", short_help="Run a study, or go on with it.")
@click.argument("target", metavar="NAME|SPEC|FILE.py:FUNCTION")
@storage_option
@allow_import_option
@definition_options
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Most trials of this run; of FILE.py:FUNCTION, trials of the whole study (100 if new).",
)
@click.option("--timeout", type=Duration(), help="Begin no trial after this time: 90s, 30m, 2h.")
@click.option("--judge/--no-judge", default=True, help="End with the comparison of optimizers.")
@checkpoints_option
@run_options
@worker_options
def study_run(
    target: str,
    storage: str | None,
    definition: Definition,
    trials: int | None,
    timeout: float | None,
    judge: bool,
    checkpoints: str | None,
    device: str,
    data_dir: Path | None,
    workers: WorkerOptions,
) -> None:
    """Run a study: a stored one by its NAME, the one a SPEC file describes, or your own function.

    A study that was stopped, or killed, goes on where it was: give the same command again, or its
    name. --workers N lets several processes share it; so does the same command elsewhere.

    FILE.py:FUNCTION is any objective written for Optuna, `f(trial) -> float`, as it is; it may
    report, and raise TrialPruned. The file is imported, so what stands under `if __name__ ==
    "__main__"` does not run. The study is called FILE/FUNCTION.

    Options that are left out stay as they are stored; a new study has --direction minimize,
    --sampler hybrid, --pruner median, --trials 100 and --seed 0. A value that is not finite counts
    as pruned; an exception fails the trial, and three in a row end the run.

    The generators of Python, numpy and torch are seeded for each trial. With the samplers of
    optuna_evo (ga, hybrid, thompson, recurrence, meta), a study that was stopped or killed ends
    with the trials of one that never was, unless the function draws random numbers in processes
    of its own (n_jobs=-1). Optuna's samplers keep their state in memory: after a stop they go on
    with other draws.

    Parts of your own, "module:attribute", are code. Those that your SPEC names, or FILE.py, are
    imported, now and when you run the study by its name. What somebody else wrote into a shared
    database is refused without --allow-import.

    \b
    Examples:
      optuna_evo study run studies/digits_optimizer.toml
      optuna_evo study run digits_optimizer --trials 50 --timeout 2h
      optuna_evo study run digits_optimizer --workers 8 --gpus-per-worker 0.25
      optuna_evo study run my_script.py:objective --direction maximize --trials 200
      optuna_evo study run my_script.py:objective --warm-start auto --sampler tpe --name second
      optuna_evo study run my_script/objective
      optuna_evo study run colleagues_study --allow-import their_package
    """
    from optuna_evo.objectives import kind_of
    from optuna_evo.search import FINISHED
    from optuna_evo.study import note_environment
    from optuna_evo.study import note_run
    from optuna_evo.study import run_study
    from optuna_evo.study import show_in_dashboard

    # so that a politely ended process gives its trial back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    channel = workers.channel()
    stored = stored_or_created(target, storage, definition, trials)
    n_more = None if is_function_of_file(target) else trials
    n_left = stored.spec.n_trials - len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    if channel is None and (changed := note_environment(stored, device=device)):
        click.echo(printable(changed), err=True)
    if channel is None and n_left > 0:
        context = click.get_current_context()
        words = context.find_root().obj or (*context.command_path.split()[1:], target)
        note_run(stored, ["optuna_evo", *words])
    if workers.are_many:
        workers.run_many(stored, storage=storage, n_more=n_more, timeout=timeout, device=device)
    else:
        with workers.listening(stored, channel) as listener:
            run_study(
                workers.limited(stored),
                n_more=n_more,
                timeout=timeout,
                device=device,
                data_dir=data_dir,
                checkpoints=checkpoints,
                listener=listener,
            )
    if channel is not None:
        return
    kind, console = kind_of(stored.spec), new_console()
    print_summary(stored, console)
    n_left = stored.spec.n_trials - len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    if n_left > 0:
        click.echo(f"{n_left} trials are left.")
    elif kind.has_final(stored.spec):
        print_final(stored, console, device, data_dir)
    elif judge and stored.spec.judge.seeds and kind.compares_optimizers:
        print_judgement(stored, console, device, data_dir, afresh=False)
    show_in_dashboard(stored)
    print_next("go on" if n_left > 0 else "run", stored)


@study.command("list")
@storage_option
@click.option("--all", "everything", is_flag=True, help="Trainings of judgements too.")
def study_list(storage: str | None, everything: bool) -> None:
    """List the studies of the database.

    \b
    Example:
      optuna_evo study list --storage sqlite:///studies.db
    """
    from optuna_evo.attributes import SPEC
    from optuna_evo.reports import study_table
    from optuna_evo.search import open_study
    from optuna_evo.search import study_lines

    opened = open_database(storage)
    lines = study_lines(opened)
    shown = [line for line in lines if everything or not line.judged]
    new_console().print(study_table(shown))
    if len(shown) < len(lines):
        click.echo(f"{len(lines) - len(shown)} studies hold trainings of judgements: --all.")
    readable = (line.name for line in reversed(shown) if not line.problem)
    ours = (name for name in readable if SPEC.is_in(open_study(name, opened).user_attrs))
    print_next_of_database("list", next(ours, None))


@study.command("show", short_help="Show the best rule, accuracies, population, judgement.")
@stored_study
def study_show(name: str, storage: str | None) -> None:
    """Show a study: best genome as an equation, accuracy by task, population, judgement.

    \b
    Example:
      optuna_evo study show digits_optimizer
    """
    stored = load_stored(name, storage)
    console = new_console()
    print_summary(stored, console)
    print_judgement(stored, console, None, None, afresh=False)
    print_next("show", stored)


@study.command("delete", short_help="Delete a study with all that belongs to it.")
@click.argument("name")
@storage_option
@checkpoints_option
@click.option("--yes", is_flag=True, help="Delete without asking.")
def study_delete(name: str, storage: str | None, checkpoints: str | None, yes: bool) -> None:
    """Delete a study with all its trials, checkpoints and judgements.

    \b
    Example:
      optuna_evo study delete digits_optimizer --yes
    """
    from optuna_evo.study import delete_study

    opened = open_database(storage)
    if not yes:
        click.confirm(f"Delete study {name!r} with all its trials?", abort=True)
    delete_study(name, opened, checkpoints=checkpoints)
    forget_study(name, storage)
    click.echo(f"Deleted study {name!r}.")
    print_next_of_database("delete")


study.add_command(study_compare_samplers)
study.add_command(study_copy)
study.add_command(study_export)
study.add_command(study_judge)
study.add_command(study_import)
study.add_command(study_lineage)
study.add_command(study_report)
study.add_command(study_sources)
study.add_command(study_status)
study.add_command(study_upgrade)

"""`optuna_evo study ...`: create, run, show and compare studies."""

import json
from pathlib import Path
import signal
import sys

import click

from optuna_evo.cli._compare import study_compare_samplers
from optuna_evo.cli._definition import Definition
from optuna_evo.cli._definition import definition_options
from optuna_evo.cli._definition import is_function_of_file
from optuna_evo.cli._definition import with_sources
from optuna_evo.cli._lineage import checkpoints_option
from optuna_evo.cli._lineage import export_model
from optuna_evo.cli._lineage import export_schedule
from optuna_evo.cli._lineage import export_trained
from optuna_evo.cli._lineage import study_lineage
from optuna_evo.cli._lineage import with_figures
from optuna_evo.cli._options import data_dir_option
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
from optuna_evo.cli._stored import create_stored
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_or_created
from optuna_evo.names import quoted


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
    click.echo(f"Created study {name!r}; run it by: optuna_evo study run {quoted(name)}")


@study.command("run", short_help="Run a study, or go on with it.")
@click.argument("target", metavar="NAME|SPEC|FILE.py:FUNCTION")
@storage_option
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
) -> None:
    """Run a study: a stored one by its NAME, the one a SPEC file describes, or your own function.

    A study that was stopped, or killed, goes on where it was: give the same command again, or its
    name. Several processes may run one study at the same time.

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

    \b
    Examples:
      optuna_evo study run studies/digits_optimizer.toml
      optuna_evo study run digits_optimizer --trials 50 --timeout 2h
      optuna_evo study run my_script.py:objective --direction maximize --trials 200
      optuna_evo study run my_script.py:objective --warm-start auto --sampler tpe --name second
      optuna_evo study run my_script/objective
    """
    from optuna_evo.objectives import kind_of
    from optuna_evo.reports import SearchProgress
    from optuna_evo.search import FINISHED
    from optuna_evo.study import run_study
    from optuna_evo.study import show_in_dashboard

    # so that a politely ended process gives its trial back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    of_function = is_function_of_file(target)
    stored = stored_or_created(target, storage, definition, trials)
    kind, console = kind_of(stored.spec), new_console()
    with SearchProgress(stored.study, n_trials=stored.spec.n_trials, console=console) as progress:
        run_study(
            stored,
            n_more=None if of_function else trials,
            timeout=timeout,
            device=device,
            data_dir=data_dir,
            checkpoints=checkpoints,
            listener=with_figures(stored, progress),
        )
    show_in_dashboard(stored)
    print_summary(stored, console)
    n_left = stored.spec.n_trials - len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    if n_left > 0:
        click.echo(f"{n_left} trials are left: optuna_evo study run {quoted(stored.spec.name)}")
    elif kind.has_final(stored.spec):
        print_final(stored, console, device, data_dir)
    elif judge and stored.spec.judge.seeds and kind.compares_optimizers:
        print_judgement(stored, console, device, data_dir, afresh=False)


@study.command("list")
@storage_option
def study_list(storage: str | None) -> None:
    """List the studies of the database.

    \b
    Example:
      optuna_evo study list --storage sqlite:///studies.db
    """
    from optuna_evo.reports import study_table
    from optuna_evo.search import study_lines

    new_console().print(study_table(study_lines(open_database(storage))))


@study.command("show", short_help="Show the best rule, accuracies, population, judgement.")
@click.argument("name")
@storage_option
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


@study.command("judge", short_help="Compare the best rule with classic optimizers.")
@click.argument("name")
@storage_option
@run_options
def study_judge(name: str, storage: str | None, device: str, data_dir: Path | None) -> None:
    """Compare the best genome so far with tuned and untuned classic optimizers on test data.

    \b
    Example:
      optuna_evo study judge digits_optimizer --device cuda
    """
    print_judgement(load_stored(name, storage), new_console(), device, data_dir, afresh=True)


@study.command("export", short_help="Write the best genome, or the best model and schedule.")
@click.argument("name")
@storage_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
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
    controller: Path | None,
    checkpoints: str | None,
    data_dir: Path | None,
) -> None:
    """Print the best genome as JSON, ready for `Genome.from_dict`, or write what a study made.

    Of a study without genomes, the best parameters are printed.

    \b
    Examples:
      optuna_evo study export digits_optimizer --out genome.json
      optuna_evo study export aeon_gpt2 --weights model --schedule schedule.json
      optuna_evo study export learned_optimizer_search --controller mine
    """
    from optuna_evo.study import best_settings

    if weights is not None:
        export_model(name, storage, weights, checkpoints, data_dir)
    if schedule is not None:
        export_schedule(name, storage, schedule)
    if controller is not None:
        export_trained(name, storage, controller)
    if any(place is not None for place in (weights, schedule, controller)):
        return
    text = json.dumps(best_settings(load_stored(name, storage)), indent=2)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


@study.command("copy", short_help="Copy a study with its trials.")
@click.argument("name")
@click.argument("new_name")
@storage_option
def study_copy(name: str, new_name: str, storage: str | None) -> None:
    """Copy a study as NEW_NAME, with its trials and all that is known of them.

    A trial that is still running is run again in the copy.

    \b
    Example:
      optuna_evo study copy digits_optimizer digits_longer
    """
    from optuna_evo.study import copy_study

    copied = copy_study(name, new_name, open_database(storage))
    click.echo(f"Copied {len(copied.get_trials(deepcopy=False))} trials to study {new_name!r}.")


@study.command("delete")
@click.argument("name")
@storage_option
@checkpoints_option
@click.option("--yes", is_flag=True, help="Delete without asking.")
def study_delete(name: str, storage: str | None, checkpoints: str | None, yes: bool) -> None:
    """Delete a study with all its trials and checkpoints.

    \b
    Example:
      optuna_evo study delete digits_optimizer --yes
    """
    from optuna_evo.study import delete_study

    opened = open_database(storage)
    if not yes:
        click.confirm(f"Delete study {name!r} with all its trials?", abort=True)
    delete_study(name, opened, checkpoints=checkpoints)
    click.echo(f"Deleted study {name!r}.")


study.add_command(study_compare_samplers)
study.add_command(study_lineage)
study.add_command(study_report)
study.add_command(study_sources)

"""The command line: parse, call, print.

Heavy imports stand inside the commands, so `optuna_evo --help` answers at once.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import json
import os
from pathlib import Path
import re
import signal
import sys
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.errors import OptunaEvoError


if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from rich.console import Console

    from optuna_evo.spec import StudySpec
    from optuna_evo.study import StoredStudy

__all__ = ["cli", "main"]

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an error is one line unless `--debug` stands in it."""
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    # Before torch is imported: waiting threads that spin make training on shared cores ten times
    # slower (measured with a small CNN on two busy cores: 550 ms a step, 55 ms without).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.getcwd() not in sys.path:  # own parts, "module:attribute", lie in the working folder
        sys.path.insert(0, os.getcwd())
    try:
        code = cli.main(arguments, prog_name="optuna_evo", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; nothing is lost: the same command goes on.", err=True)
        code = 130
    except OptunaEvoError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code
    except Exception as error:
        if debug:
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        click.echo(f"Error: {type(error).__name__}: {first_line} (--debug shows where)", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


class _Duration(click.ParamType[float]):
    """Seconds from "90", "90s", "30m", "2h" or "1d"."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 2h or 1d.", param, ctx)
        return float(match[1]) * _UNITS_S[match[2] or "s"]


def _storage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--storage",
        metavar="URL",
        envvar="OPTUNA_EVO_STORAGE",
        help="Database, such as sqlite:///studies.db or postgresql://user@host/db. "
        "[default: $OPTUNA_EVO_STORAGE, else sqlite:///optuna_evo.db]",
    )(command)


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."
        ),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="OPTUNA_EVO_DATA",
            help="Folder with data files; without it data is downloaded. [env: OPTUNA_EVO_DATA]",
        ),
    )
    return functools.reduce(lambda decorated, option: option(decorated), options, command)


_SET = click.option(
    "--set",
    "overrides",
    metavar="A.B=C",
    multiple=True,
    help="Override a value of the spec, such as --set trainer.steps=100. May be repeated.",
)


@click.group()
@click.version_option(package_name="optuna-evo")
def cli() -> None:
    """Evolve optimizers and hyperparameters of PyTorch models with Optuna.

    \b
    Examples:
      optuna_evo study run studies/digits_optimizer.toml
      optuna_evo study show digits_optimizer
      optuna_evo dashboard

    Every command takes --debug, which shows the traceback of an error.
    """


@cli.group()
def study() -> None:
    """Create, run and look at studies."""


@study.command("create")
@click.argument("name")
@click.argument("spec_file", metavar="SPEC", type=click.Path(path_type=Path))
@_storage_option
@_SET
def study_create(
    name: str, spec_file: Path, storage: str | None, overrides: tuple[str, ...]
) -> None:
    """Write a new study NAME, made from the TOML file SPEC, to the database.

    \b
    Example:
      optuna_evo study create mine studies/digits_optimizer.toml --set n_trials=500
    """
    from optuna_evo.spec import load_spec

    spec = load_spec(spec_file, overrides=overrides, name=name)
    _create(spec, storage, exist_ok=False)
    click.echo(f"Created study {name!r}; run it by: optuna_evo study run {name}")


@study.command("run")
@click.argument("name_or_spec", metavar="NAME|SPEC")
@_storage_option
@_SET
@click.option("--trials", type=click.IntRange(min=1), help="At most so many trials now.")
@click.option("--timeout", type=_Duration(), help="Begin no trial after this time: 90s, 30m, 2h.")
@click.option("--judge/--no-judge", default=True, help="End with the comparison on test data.")
@_run_options
def study_run(
    name_or_spec: str,
    storage: str | None,
    overrides: tuple[str, ...],
    trials: int | None,
    timeout: float | None,
    judge: bool,
    device: str,
    data_dir: Path | None,
) -> None:
    """Run a study: a stored one by its NAME, or the one a SPEC file describes.

    A study that was stopped, or killed, goes on in the middle of its generation. Several processes
    may run one study at the same time.

    \b
    Examples:
      optuna_evo study run studies/digits_optimizer.toml
      optuna_evo study run digits_optimizer --trials 50 --timeout 2h
    """
    from optuna_evo.reports import SearchProgress
    from optuna_evo.search import FINISHED
    from optuna_evo.study import run_study
    from optuna_evo.study import show_in_dashboard

    # so that a politely ended process gives its trial back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stored = _stored_or_created(name_or_spec, storage, overrides)
    console = _console()
    with SearchProgress(stored.study, n_trials=stored.spec.n_trials, console=console) as progress:
        run_study(
            stored,
            n_more=trials,
            timeout=timeout,
            device=device,
            data_dir=data_dir,
            listener=progress,
        )
    show_in_dashboard(stored)
    _print_summary(stored, console)
    n_left = stored.spec.n_trials - len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    if n_left > 0:
        console.print(f"{n_left} trials are left: optuna_evo study run {stored.spec.name}")
    elif stored.spec.final.epochs:
        _print_final(stored, console, device, data_dir)
    elif judge and stored.spec.judge.seeds and stored.spec.objective.name == "fitness":
        _print_judgement(stored, console, device, data_dir, afresh=False)


@study.command("list")
@_storage_option
def study_list(storage: str | None) -> None:
    """List the studies of the database."""
    import optuna
    from rich.table import Table

    table = Table()
    for column in ("study", "direction", "trials", "best", "started"):
        table.add_column(column)
    for summary in optuna.get_all_study_summaries(_open(storage)):
        best = summary.best_trial.value if summary.best_trial else None
        started = summary.datetime_start
        table.add_row(
            summary.study_name,
            summary.direction.name.lower(),
            str(summary.n_trials),
            "" if best is None else f"{best:.4f}",
            "" if started is None else f"{started:%Y-%m-%d %H:%M}",
        )
    _console().print(table)


@study.command("show")
@click.argument("name")
@_storage_option
def study_show(name: str, storage: str | None) -> None:
    """Show a study: best genome as an equation, accuracy by task, population, judgement."""
    stored = _load(name, storage)
    console = _console()
    _print_summary(stored, console)
    _print_judgement(stored, console, None, None, afresh=False)


@study.command("judge")
@click.argument("name")
@_storage_option
@_run_options
def study_judge(name: str, storage: str | None, device: str, data_dir: Path | None) -> None:
    """Compare the best genome so far with tuned and untuned classic optimizers on test data."""
    _print_judgement(_load(name, storage), _console(), device, data_dir, afresh=True)


@study.command("report")
@click.argument("name")
@_storage_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG file to write. [default: NAME.png]",
)
def study_report(name: str, storage: str | None, out: Path | None) -> None:
    """Draw the course of a study: values, generations, best so far, predicted and real.

    The picture goes to a PNG file and, as a figure, to the study's page in the dashboard.

    \b
    Example:
      optuna_evo study report hybrid_alexnet_mnist --out hybrid_tuning_results.png
    """
    from optuna_evo.reports import draw_tuning_course
    from optuna_evo.reports import tuning_course
    from optuna_evo.study import best_trial
    from optuna_evo.study import show_in_dashboard

    stored = _load(name, storage)
    best_trial(stored)  # says so if there is nothing to draw yet
    path = out or Path(f"{name}.png")
    draw_tuning_course(tuning_course(stored.study), path)
    show_in_dashboard(stored)
    click.echo(f"Wrote {path}; the dashboard shows it too.")


@study.command("export")
@click.argument("name")
@_storage_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def study_export(name: str, storage: str | None, out: Path | None) -> None:
    """Print the best genome as JSON, ready for `Genome.from_dict`.

    \b
    Example:
      optuna_evo study export digits_optimizer --out genome.json
    """
    from optuna_evo.study import best_genome

    text = json.dumps(best_genome(_load(name, storage)).to_dict(), indent=2)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


@study.command("delete")
@click.argument("name")
@_storage_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def study_delete(name: str, storage: str | None, yes: bool) -> None:
    """Delete a study with all its trials."""
    from optuna_evo.study import delete_study

    opened = _open(storage)
    if not yes:
        click.confirm(f"Delete study {name!r} with all its trials?", abort=True)
    delete_study(name, opened)
    click.echo(f"Deleted study {name!r}.")


@cli.command()
@_storage_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
def dashboard(storage: str | None, host: str, port: int) -> None:
    """Look at the database in optuna-dashboard (it has no log-in: keep it on this machine)."""
    from optuna_dashboard import run_server

    opened = _open(storage)
    click.echo(f"optuna-dashboard on http://{host}:{port}, Ctrl+C ends it")
    run_server(opened, host=host, port=port)


def _create(spec: "StudySpec", storage: str | None, *, exist_ok: bool) -> "StoredStudy":
    from optuna_evo.parts import check_parts
    from optuna_evo.study import create_study

    _quiet_optuna()
    check_parts(spec)  # before the database is touched
    return create_study(spec, _open(storage, create=True), exist_ok=exist_ok)


def _load(name: str, storage: str | None) -> "StoredStudy":
    from optuna_evo.study import load_study

    return load_study(name, _open(storage))


def _open(url: str | None, *, create: bool = False) -> "RDBStorage":
    from optuna_evo.storage import open_storage

    _quiet_optuna()
    return open_storage(url, create=create)


def _quiet_optuna() -> None:
    """Keep Optuna's information lines out of what we print."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _stored_or_created(
    name_or_spec: str, storage: str | None, overrides: tuple[str, ...]
) -> "StoredStudy":
    from optuna_evo.spec import load_spec

    if name_or_spec.endswith(".toml"):
        return _create(load_spec(name_or_spec, overrides=overrides), storage, exist_ok=True)
    if overrides:
        raise click.UsageError("--set goes with a SPEC file; a stored study keeps its spec.")
    return _load(name_or_spec, storage)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _print_summary(stored: "StoredStudy", console: "Console") -> None:
    from optuna_evo.parts import build_space
    from optuna_evo.reports import study_panel
    from optuna_evo.reports import summarise

    console.print(study_panel(summarise(stored.study, build_space(stored.spec))))


def _print_final(
    stored: "StoredStudy", console: "Console", device: str, data_dir: Path | None
) -> None:
    from optuna_evo.study import train_best

    with console.status("training the best configuration on all but the test rows"):
        metric = train_best(stored, device=device, data_dir=data_dir)
    epochs = stored.spec.final.epochs
    console.print(f"Trained for {epochs:g} epochs, measured once on test data: {metric:.4f}")


def _print_judgement(
    stored: "StoredStudy",
    console: "Console",
    device: str | None,
    data_dir: Path | None,
    *,
    afresh: bool,
) -> None:
    """Print the stored judgement; without one, or afresh, make it if a device is named."""
    from rich.progress import Progress

    from optuna_evo.reports import judge_table
    from optuna_evo.search import FINISHED
    from optuna_evo.study import judge_study
    from optuna_evo.study import stored_judgement

    rows = None if afresh else stored_judgement(stored)
    if rows is None:
        if device is None:
            return
        with Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("judging on test data", total=None)
            rows = judge_study(
                stored,
                device=device,
                data_dir=data_dir,
                on_run=lambda done, n: progress.update(task, completed=done, total=n),
            )
    n_trials = len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    console.print(judge_table(rows, n_trials=n_trials, steps=stored.spec.trainer.steps))


if __name__ == "__main__":
    main()

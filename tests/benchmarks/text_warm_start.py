"""What studies on other texts are worth: IMDB from AG News, SST-2 and CoLA against a cold start.

    python -m tests.benchmarks.text_warm_start --data-dir DIR [--trials 20] [--steps 60]

Fresh tiny DistilBERTs of word pieces, 64 tokens a row, searched over learning rate, weight decay,
batch size and dropout; objective: ROC-AUC on validation rows. Each source is a TPE study; the
target runs by TPE cold, and by MetaPriorSampler over TPE from the sources, with the same seeds.
The database is kept: the same command goes on where it was stopped.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
import time
from typing import Any

import click
import numpy as np
import optuna
from optuna.storages import BaseStorage
from rich.console import Console
from rich.table import Table
import torch

from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import run_study


SOURCES = ("ag_news", "sst2", "cola")
TARGET = "imdb"
AT = (1, 3, 5, 10)


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
@click.option("--trials", default=20, show_default=True)
@click.option("--steps", default=60, show_default=True)
@click.option("--seeds", default=2, show_default=True)
@click.option("--storage", default="sqlite:///text_warm_start.db", show_default=True)
def main(data_dir: Path | None, trials: int, steps: int, seeds: int, storage: str) -> None:
    """Run the studies that are not finished yet and print the table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = open_storage(storage)

    def run(name: str, task: str, seed: int, **changes: Any) -> list[float]:
        return _run(database, _spec(name, task, seed, trials, steps, changes), data_dir)

    for source in SOURCES:
        run(f"{source}_source", source, 100)
    table = Table(title=_title(trials, steps))
    columns = ["seed", "start", *(f"best at {n}" for n in AT), f"at {trials}", "cold's best after"]
    for column in columns:
        table.add_column(column, justify="right")
    for seed in range(seeds):
        cold = run(f"{TARGET}_cold_{seed}", TARGET, seed)
        warm_start = [f"{source}_source" for source in SOURCES]
        warm = run(f"{TARGET}_warm_{seed}", TARGET, seed, warm_start=warm_start)
        for start, values in (("cold", cold), ("warm", warm)):
            row = [f"{_best(values)[min(n, trials) - 1]:.4f}" for n in (*AT, trials)]
            table.add_row(str(seed), start, *row, _first_to_reach(values, max(cold)))
    Console(width=110).print(table)


def _spec(
    name: str, task: str, seed: int, trials: int, steps: int, changes: dict[str, Any]
) -> StudySpec:
    data: dict[str, Any] = {
        "name": name,
        "tasks": [task],
        "n_trials": trials,
        "seed": seed,
        "task": {
            "architecture": "distilbert",
            "weights": "fresh",
            "sequence_length": 64,
            "valid_rows": 1_000,
        },
        "space": {
            "name": "distilbert_continuous",
            "lr": [1e-5, 1e-1],
            "weight_decay": [1e-4, 1e-1],
            "batch_size": [8, 32],
            "dropout": [0.0, 0.5],
            "epochs": [],
        },
        "sampler": {"name": "tpe"},
        "trainer": {"steps": steps},
        "objective": {
            "name": "accuracy",
            "metric": "auc",
            "reports": 1,
            "divergence_penalty": 0.5,
        },
    }
    return StudySpec.from_dict(data | changes)


def _run(database: BaseStorage, spec: StudySpec, data_dir: Path | None) -> list[float]:
    """Run a study to its end, if it is not there yet, and return its values in order."""
    began = time.perf_counter()
    stored = create_study(spec, database, exist_ok=True)
    run_study(stored, device="cpu", data_dir=data_dir)
    values = [trial.value for trial in stored.study.get_trials(deepcopy=False)]
    best = stored.study.best_trial
    seconds = time.perf_counter() - began
    print(f"{spec.name}: {best.value:.4f} at trial {best.number}, {best.params}, {seconds:.0f} s")
    return [value for value in values if value is not None]


def _best(values: Sequence[float]) -> list[float]:
    return list(accumulate(values, max))


def _first_to_reach(values: Sequence[float], goal: float) -> str:
    reached = np.flatnonzero(np.asarray(values) >= goal)
    return f"{reached[0] + 1} evaluations" if len(reached) else f"not in {len(values)}"


def _title(trials: int, steps: int) -> str:
    threads = torch.get_num_threads()
    return f"IMDB, ROC-AUC, {trials} trials of {steps} steps, CPU, {threads} thread(s)"


if __name__ == "__main__":
    main()

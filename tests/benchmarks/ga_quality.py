"""How good a genome a sampler finds: GASampler beside TPE, NSGA-II and others on three tasks.

    python -m tests.benchmarks.ga_quality [--seeds 10] [--trials 400] [--out results.jsonl]

A trial trains a small network with the suggested genome for 40 steps, too few for most rules. The
fitness is validation accuracy (or variance explained) + 0.05 max(0, 1 - training loss), -1 after
divergence; see `small_mlp`, which computes it. All samplers are at their defaults unless their
row says more, and see the same space; all searches of one seed train from the same weights on the
same batches. The tables hold, for each task:

* the best fitness after all trials, its median over seeds with a 95 % bootstrap interval, and the
  median of the differences GASampler - sampler on the same seed;
* the fitness of the winner on fresh seeds: what is left of it without the luck of its own.

Rows named "+ catalog" begin with the genomes of the catalog that the space can say.
With `--out` each search is a line of a file; those that are there are not done again.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import NSGAIISampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
import torch

from optuna_evo import catalog
from optuna_evo import suggest_genome
from optuna_evo.samplers import GASampler
from optuna_evo.spaces import genome_params
from tests.benchmarks.small_mlp import SmallTask
from tests.benchmarks.small_mlp import TASKS


N_RESAMPLES = 10_000
FRESH_SEEDS = range(10_000, 10_008)
FIRST = "GASampler"
CATALOG = " + catalog"
# Genomes that consist of the terms of the default space; decays of 0 are out of its ranges.
KNOWN = ("adam", "adamw", "lion_like", "momentum", "rmsprop", "sgd")

SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    FIRST: lambda seed: GASampler(seed=seed),
    "TPE": lambda seed: TPESampler(seed=seed),
    "NSGA-II": lambda seed: NSGAIISampler(seed=seed),
    "NSGA-II, 10": lambda seed: NSGAIISampler(population_size=10, seed=seed),
    "Random": lambda seed: RandomSampler(seed=seed),
    "GA, 10": lambda seed: GASampler(population_size=10, n_generations=40, seed=seed),
    "GA adaptive": lambda seed: GASampler(operators="adaptive", seed=seed),
    "GA adaptive, unscreened": lambda seed: GASampler(
        operators="adaptive", n_offspring=1, seed=seed
    ),
}
DEFAULT = (FIRST, "GA adaptive", "TPE", "NSGA-II", "Random")


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Repetitions of each search.")
@click.option("--first-seed", default=0, show_default=True, help="The lowest seed.")
@click.option("--trials", default=400, show_default=True, help="Genome evaluations of a search.")
@click.option("--steps", default=40, show_default=True, help="Training steps of an evaluation.")
@click.option("--task", "tasks", multiple=True, default=TASKS, help="Only these.")
@click.option("--sampler", "samplers", multiple=True, default=DEFAULT, help="Only these.")
@click.option("--out", type=click.Path(path_type=Path), help="File of results to go on with.")
def main(
    seeds: int,
    first_seed: int,
    trials: int,
    steps: int,
    tasks: Sequence[str],
    samplers: Sequence[str],
    out: Path | None,
) -> None:
    """Print the best fitness that each sampler finds."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = perf_counter()
    known = {} if out is None or not out.exists() else _read(out)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {task: {} for task in tasks}
    for seed in range(first_seed, first_seed + seeds):
        for task in tasks:
            for name in samplers:
                key = (task, name, seed, trials, steps)
                result = known.get(key) or search(*key)
                if out is not None and key not in known:
                    with out.open("a") as lines:
                        lines.write(json.dumps({"key": key, **result}) + "\n")
                results[task].setdefault(name, []).append(result)
    for task, by_name in results.items():
        print(f"\n{task}\n")
        print_table(by_name)
    print(f"\n{seeds} seeds, {trials} trials of {steps} steps, {perf_counter() - start:.0f} s")


def search(task: str, name: str, seed: int, n_trials: int, steps: int) -> dict[str, float]:
    """Search once; return the best fitness, and the winner's on fresh seeds."""
    evaluate = _task(task, seed, steps)
    warmup_steps = (steps // 10, 4 * steps // 10)
    suggest = functools.partial(suggest_genome, horizon=steps, warmup_steps=warmup_steps)
    sampler = SAMPLERS[name.removesuffix(CATALOG)](seed)
    study = optuna.create_study(study_name="ga_quality", direction="maximize", sampler=sampler)
    if name.endswith(CATALOG):
        for rule in KNOWN:
            study.enqueue_trial(genome_params(catalog[rule]))
    study.optimize(lambda trial: evaluate(suggest(trial)), n_trials=n_trials)
    winner = suggest(study.best_trial)
    fresh = [_task(task, other, steps)(winner) for other in FRESH_SEEDS]
    return {"best": study.best_value, "fresh": float(np.mean(fresh))}


@functools.lru_cache(maxsize=64)
def _task(name: str, seed: int, steps: int) -> SmallTask:
    return SmallTask(name, seed, steps)


def _read(out: Path) -> dict[tuple[Any, ...], dict[str, float]]:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {tuple(row["key"]): {k: row[k] for k in ("best", "fresh")} for row in rows}


def print_table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print one row a sampler."""
    rng = np.random.default_rng(0)
    columns = {
        name: {key: np.array([row[key] for row in rows]) for key in ("best", "fresh")}
        for name, rows in results.items()
    }
    print(
        "| sampler | best | 95 % | GA ahead by | 95 % | wins | fresh seeds | GA ahead by | 95 % |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, column in columns.items():
        cells = [f"{np.median(column['best']):.4f}", interval(column["best"], rng)]
        ahead = {
            key: columns[FIRST][key] - values
            for key, values in column.items()
            if FIRST in columns and name != FIRST
        }
        for key in ("best", "fresh"):
            cells += [f"{np.median(column['fresh']):.4f}"] if key == "fresh" else []
            if key not in ahead:
                cells += ["", ""] + [""] * (key == "best")
                continue
            cells += [f"{np.median(ahead[key]):+.4f}", interval(ahead[key], rng)]
            if key == "best":
                cells.append(f"{(ahead[key] > 0).sum()} of {len(ahead[key])}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def interval(values: np.ndarray, rng: np.random.Generator) -> str:
    """Return the bootstrap interval of the median."""
    samples = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))]
    low, high = np.quantile(np.median(samples, axis=1), [0.025, 0.975])
    return f"{low:+.4f} … {high:+.4f}" if values.min() < 0 else f"{low:.4f} … {high:.4f}"


if __name__ == "__main__":
    main()

"""How good a genome a sampler finds: GASampler beside Random, TPE and NSGA-II.

    python -m tests.benchmarks.ga_quality [--seeds 10] [--trials 400] [--jobs 1]

A trial trains the digits MLP with the suggested genome for a few steps, too few for most rules.
The fitness is validation accuracy + 0.05 max(0, 1 - training loss), -1 after divergence. All
samplers see the same space; all runs of one seed train from the same weights on the same batches.
The table holds the best fitness after all trials: its median over seeds with a 95 % bootstrap
interval, and the median of the differences GASampler - sampler on the same seed.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from multiprocessing import get_context
from time import perf_counter

import click
import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import NSGAIISampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
import torch

from optuna_evo import suggest_genome
from optuna_evo import tasks
from optuna_evo import TrainingConfig
from optuna_evo.objectives import FitnessObjective
from optuna_evo.samplers import GASampler


POPULATION_SIZE = 10
N_RESAMPLES = 10_000
PENALTY = -1.0


def make_sampler(name: str, seed: int, n_trials: int) -> BaseSampler:
    """Return a sampler with its defaults, but for the population that fits the budget."""
    n_generations = math.ceil(n_trials / POPULATION_SIZE)
    makers: dict[str, Callable[[], BaseSampler]] = {
        "GASampler": lambda: GASampler(
            population_size=POPULATION_SIZE, n_generations=n_generations, seed=seed
        ),
        "NSGAIISampler": lambda: NSGAIISampler(population_size=POPULATION_SIZE, seed=seed),
        "TPESampler": lambda: TPESampler(seed=seed),
        "RandomSampler": lambda: RandomSampler(seed=seed),
    }
    return makers[name]()


SAMPLERS = ("GASampler", "NSGAIISampler", "TPESampler", "RandomSampler")


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Repetitions of each search.")
@click.option("--first-seed", default=0, show_default=True, help="The lowest seed.")
@click.option("--trials", default=400, show_default=True, help="Genome evaluations of a search.")
@click.option("--steps", default=40, show_default=True, help="Training steps of an evaluation.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--sampler", "samplers", multiple=True, default=SAMPLERS, help="Only these.")
def main(
    seeds: int, first_seed: int, trials: int, steps: int, jobs: int, samplers: Sequence[str]
) -> None:
    """Print the best fitness that each sampler finds."""
    runs = [
        (name, seed, trials, steps)
        for seed in range(first_seed, first_seed + seeds)
        for name in samplers
    ]
    start = perf_counter()
    if jobs == 1:
        results = [best_fitness(*run) for run in runs]
    else:
        with get_context("spawn").Pool(jobs) as pool:
            results = pool.starmap(best_fitness, runs, chunksize=1)
    best = {
        name: np.array([r for run, r in zip(runs, results, strict=True) if run[0] == name])
        for name in samplers
    }
    print_table(best)
    print(f"\n{seeds} seeds, {trials} trials of {steps} steps, {perf_counter() - start:.0f} s")


def best_fitness(name: str, seed: int, n_trials: int, steps: int) -> float:
    """Search once and return the best fitness."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = FitnessObjective(
        tasks=[tasks.get("digits")], seeds=[seed], steps=steps, penalty=PENALTY
    )
    warmup_steps = (steps // 10, 4 * steps // 10)

    def evaluate(trial: optuna.Trial) -> float:
        genome = suggest_genome(trial, horizon=steps, warmup_steps=warmup_steps)
        (value,) = objective.start([TrainingConfig(genome=genome)]).advance()
        return value if math.isfinite(value) else PENALTY

    study = optuna.create_study(
        study_name="ga_quality", direction="maximize", sampler=make_sampler(name, seed, n_trials)
    )
    study.optimize(evaluate, n_trials=n_trials)
    return study.best_value


def print_table(best: dict[str, np.ndarray]) -> None:
    """Print one row a sampler."""
    rng = np.random.default_rng(0)
    print(
        "| sampler | median best fitness | 95 % | worst, best seed | GA ahead by | 95 % | wins |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, values in best.items():
        row = [f"{np.median(values):.4f}", interval(values, rng)]
        row.append(f"{values.min():.4f}, {values.max():.4f}")
        if name != "GASampler" and "GASampler" in best:
            ahead = best["GASampler"] - values
            row += [f"{np.median(ahead):+.4f}", interval(ahead, rng)]
            row.append(f"{(ahead > 0).sum()} of {len(ahead)}")
        else:
            row += ["", "", ""]
        print(f"| {name} | " + " | ".join(row) + " |")


def interval(values: np.ndarray, rng: np.random.Generator) -> str:
    """Return the bootstrap interval of the median."""
    samples = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))]
    low, high = np.quantile(np.median(samples, axis=1), [0.025, 0.975])
    return f"{low:+.4f} … {high:+.4f}" if values.min() < 0 else f"{low:.4f} … {high:.4f}"


if __name__ == "__main__":
    main()

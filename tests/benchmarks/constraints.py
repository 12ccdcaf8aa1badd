"""Samplers on problems with constraints: how many trials are feasible, and how good the best is.

    python -m tests.benchmarks.constraints [--problems issue,mixed] [--seeds 5] [--trials 80]

Feasible trials are counted among the last half. Optuna's random and TPE samplers stand beside
ours.
"""

from collections.abc import Callable
import math
from statistics import median

import click
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import is_feasible
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import ThompsonSampler


def issue(trial: optuna.Trial) -> float:
    """Minimise a sum that must be at least 8."""
    total = trial.suggest_float("x", 0, 10) + trial.suggest_float("y", 0, 10)
    trial.set_constraint("memory", 8 - total)
    return total


def flag(trial: optuna.Trial) -> float:
    """The same, where only a flag says whether the constraint is met."""
    total = trial.suggest_float("x", 0, 10) + trial.suggest_float("y", 0, 10)
    trial.set_constraint("memory", 1.0 if total < 8 else 0.0)
    return total


def mixed(trial: optuna.Trial) -> float:
    """A mixed space with two constraints, one of them a billion in size."""
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-3, 1e1, log=True)
    k, c = trial.suggest_int("k", 1, 20), trial.suggest_categorical("c", ["a", "b", "c"])
    trial.set_constraint("bytes", 1e9 * (k * {"a": 1, "b": 2, "c": 3}[c] - 12))
    trial.set_constraint("margin", 1.0 - abs(x) * 0.7)
    return float(x * x + (math.log10(y) + 1) ** 2 + 10 / k + {"a": 3, "b": 1, "c": 0}[c])


PROBLEMS: dict[str, Callable[[optuna.Trial], float]] = {
    "issue": issue,
    "flag": flag,
    "mixed": mixed,
}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "RandomSampler": lambda seed: RandomSampler(seed=seed),
    "TPESampler": lambda seed: TPESampler(seed=seed),
    "GASampler(50)": lambda seed: GASampler(seed=seed),
    "GASampler(10)": lambda seed: GASampler(population_size=10, seed=seed),
    "HybridSampler": lambda seed: HybridSampler(seed=seed),
    "ThompsonSampler": lambda seed: ThompsonSampler(seed=seed),
    "RecurrenceSampler": lambda seed: RecurrenceSampler(seed=seed),
    "RecurrenceSampler.plain": lambda seed: RecurrenceSampler.plain(seed=seed),
    "MetaPriorSampler": lambda seed: MetaPriorSampler([], seed=seed),
}


@click.command()
@click.option("--problems", default="issue,flag,mixed")
@click.option("--samplers", default=",".join(SAMPLERS))
@click.option("--seeds", default=5)
@click.option("--trials", default=80)
def main(problems: str, samplers: str, seeds: int, trials: int) -> None:
    """Print one row for each problem and sampler: medians over seeds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"| problem | sampler | feasible of the last {trials // 2} | best feasible value |")
    print("|---|---|---|---|")
    for problem in problems.split(","):
        for name in samplers.split(","):
            counts, bests = [], []
            for seed in range(seeds):
                study = optuna.create_study(study_name=f"s{seed}", sampler=SAMPLERS[name](seed))
                study.optimize(PROBLEMS[problem], n_trials=trials)
                counts.append(sum(map(is_feasible, study.trials[trials // 2 :])))
                found = [t.value for t in study.trials if is_feasible(t)]
                bests.append(min((v for v in found if v is not None), default=math.nan))
            print(f"| {problem} | {name} | {median(counts):.0f} | {median(bests):.3f} |")


if __name__ == "__main__":
    main()

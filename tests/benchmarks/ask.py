"""How long an ask takes as a study grows: GASampler beside NSGA-II and TPE.

    python -m tests.benchmarks.ask [--rounds 30]

An ask is `study.ask()` and ten `suggest_float`, in memory. All samplers look at the same history;
they are timed in turns, so that a busy machine hits all alike, and the medians are shown.
"""

from collections.abc import Callable
from time import perf_counter

import click
import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import NSGAIISampler
from optuna.samplers import TPESampler

from optuna_evo.samplers import GASampler


N_PARAMS = 10
N_WARMUP = 3
SIZES = (100, 1_000, 5_000, 10_000)
# One TPE ask over 5,000 trials takes longer than all asks of the others together.
TPE_LIMIT = 1_000
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "GASampler": lambda: GASampler(seed=0),
    "NSGAIISampler": lambda: NSGAIISampler(seed=0),
    "TPESampler": lambda: TPESampler(seed=0),
}


@click.command()
@click.option("--rounds", default=30, show_default=True, help="Timed asks of each sampler.")
def main(rounds: int) -> None:
    """Print the median time of an ask in milliseconds for each sampler and study size."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| trials | " + " | ".join(f"{name}, ms" for name in SAMPLERS) + " | GA / NSGA-II |")
    print("|---|" + "---|" * (len(SAMPLERS) + 1))
    ga_times: dict[int, float] = {}
    for size in SIZES:
        names = [name for name in SAMPLERS if name != "TPESampler" or size <= TPE_LIMIT]
        medians = measure(names, size, rounds)
        cells = [f"{medians[name]:.3f}" if name in medians else "–" for name in SAMPLERS]
        ga_times[size] = medians["GASampler"]
        ratio = medians["GASampler"] / medians["NSGAIISampler"]
        print(f"| {size:,} | " + " | ".join(cells) + f" | {ratio:.2f} |", flush=True)
    print(f"\nGASampler at 10,000 / at 1,000 trials: {ga_times[10_000] / ga_times[1_000]:.2f}")


def measure(names: list[str], size: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of an ask by sampler, timed in turns."""
    studies = {name: study_with(SAMPLERS[name](), size) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(N_WARMUP + rounds):
        for name, study in studies.items():
            start = perf_counter()
            trial = study.ask()
            x = suggest(trial)
            times[name].append(1e3 * (perf_counter() - start))
            study.tell(trial, sphere(x))
    return {name: float(np.median(values[N_WARMUP:])) for name, values in times.items()}


def study_with(sampler: BaseSampler, size: int) -> optuna.Study:
    """Return an in-memory study of `size` trials that a genetic sampler has made.

    TPE only reads them; the genetic samplers find their own generations.
    """
    maker = NSGAIISampler(seed=0) if isinstance(sampler, TPESampler) else sampler
    study = optuna.create_study(sampler=maker)
    study.optimize(lambda trial: sphere(suggest(trial)), n_trials=size)
    study.sampler = sampler
    return study


def suggest(trial: optuna.Trial) -> list[float]:
    """Suggest the ten parameters."""
    return [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(N_PARAMS)]


def sphere(x: list[float]) -> float:
    """Return the squared distance from the middle of the range."""
    return sum((value - 0.5) ** 2 for value in x)


if __name__ == "__main__":
    main()

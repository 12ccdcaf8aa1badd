"""What do sources cost? Time of the first ask and of an ask late in a study.

    python -m tests.benchmarks.transfer_overhead [--sources 50] [--trials 200] [--rounds 15]

Sources of 50 TPE trials each on a bowl over ten parameters with its minimum elsewhere in each; the
target has 200 trials. In memory, one thread. Wall clock and, because machines are busy, processor
time, as medians; the first ask is that of a new sampler and includes reading the sources.
"""

import argparse
from collections.abc import Callable
import time

import numpy as np
import optuna
from optuna.study import Study
from optuna.trial import Trial

from optuna_evo.samplers import MetaPriorSampler


N_PARAMS = 10


def bowl(seed: int) -> Callable[[Trial], float]:
    """Return an objective whose minimum depends on the seed, near the middle."""
    center = 0.5 + 0.15 * np.random.default_rng(seed).standard_normal(N_PARAMS)

    def objective(trial: Trial) -> float:
        x = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(N_PARAMS)]
        return float(((np.array(x) - center) ** 2).sum())

    return objective


def old_study(seed: int) -> Study:
    """Return a finished source."""
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(study_name=f"old {seed}", sampler=sampler)
    study.optimize(bowl(seed), n_trials=50)
    return study


def timed(ask: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds of wall clock and of processor time."""
    wall, used = time.perf_counter(), time.process_time()
    ask()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - used)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sources = [old_study(seed) for seed in range(1, args.sources + 1)]
    print("| sampler | trials | ms of an ask | of them processor |\n|---|---|---|---|")
    for label, make in {
        "MetaPriorSampler, sources": lambda: MetaPriorSampler(sources, seed=0),
        "MetaPriorSampler, cold": lambda: MetaPriorSampler(seed=0),
        "TPESampler": lambda: optuna.samplers.TPESampler(seed=0),
    }.items():
        study = optuna.create_study(study_name="new")

        def first() -> None:
            study.sampler = make()  # noqa: B023
            _ask(study)  # noqa: B023

        wall, used = timed(first)
        print(f"| {label} | 0 | {wall:.0f} | {used:.0f} |")
        study.sampler = optuna.samplers.TPESampler(seed=0)
        study.optimize(bowl(0), n_trials=args.trials)
        study.sampler = make()
        _ask(study)  # fits the sources in the space of the study
        times = np.array([timed(lambda: _ask(study)) for _ in range(args.rounds)])  # noqa: B023
        wall, used = np.median(times, axis=0)
        print(f"| {label} | {args.trials} | {wall:.0f} | {used:.0f} |", flush=True)


def _ask(study: Study) -> None:
    """Ask and tell a trial, so that the next ask has more to learn from."""
    trial = study.ask()
    study.tell(trial, bowl(0)(trial))


if __name__ == "__main__":
    main()

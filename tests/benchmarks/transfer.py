"""How much do old studies help? One data set is the target, studies of the others are the sources.

    python -m tests.benchmarks.transfer --data DIR --cache DIR [--methods "TPE,Meta"] [--seeds 10]
        [--targets nas201,hpolib] [--trials 100] [--report-only]

Protocol: leave one data set out; each source is a 50-trial TPE study that was written to an SQLite
database and is read from it; in-memory target study, one trial at a time; equal seeds for all
methods. Cold methods get the same ten random initial points of a (table, seed) pair, methods with
sources get the same sources. Regret of a trial is (y - best) / (median - best) of its table, the
figure at a budget is the best so far, its mean over tables of the means over seeds; the interval
is 1.96 standard errors over seeds of the mean over tables. Ranks are taken on each table's mean
over seeds and averaged over tables. Results are kept a line each in `results.jsonl` of the cache
folder, so that a run can be stopped and continued. Adaboost, DeepAR and LCBench take part with
five targets each, and with all their other data sets as sources. Seeds from 100 on have sources of
their own: choices are made on them, never on those that are reported.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
import time
from typing import Any
import warnings

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from scipy.stats import rankdata

from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from tests.benchmarks.sample_efficiency import BUDGETS
from tests.benchmarks.sample_efficiency import initial_points
from tests.benchmarks.sample_efficiency import Record
from tests.benchmarks.sample_efficiency import SharedStart
from tests.benchmarks.syne_tune_methods import run_bounding_box
from tests.benchmarks.syne_tune_methods import run_cts
from tests.benchmarks.syne_tune_methods import run_zero_shot
from tests.benchmarks.tables import FAMILIES
from tests.benchmarks.tables import Table
from tests.benchmarks.transfer_sources import family_tables
from tests.benchmarks.transfer_sources import source_studies
from tests.benchmarks.transfer_sources import target_names


Array = NDArray[np.float64]
Run = Callable[[Table, Sequence[Study], int, int], tuple[list[float], float]]


def cold(make: Callable[[int], BaseSampler]) -> Run:
    """Start from the shared random points."""

    def run(table: Table, _: Sequence[Study], seed: int, n: int) -> tuple[list[float], float]:
        return ask_and_tell(SharedStart(make(seed), initial_points(table, seed)), table, seed, n)

    return run


def enqueued(make: Callable[[int], BaseSampler]) -> Run:
    """Start from the best configuration of each source."""

    def run(
        table: Table, sources: Sequence[Study], seed: int, n: int
    ) -> tuple[list[float], float]:
        first = [study.best_params for study in sources]
        return ask_and_tell(make(seed), table, seed, n, first)

    return run


def meta(**settings: Any) -> Run:
    """Start from the sources with our sampler."""

    def run(
        table: Table, sources: Sequence[Study], seed: int, n: int
    ) -> tuple[list[float], float]:
        own = {k: make(seed) if k == "base" else make for k, make in settings.items()}
        return ask_and_tell(MetaPriorSampler(sources, seed=seed, **own), table, seed, n)

    return run


METHODS: dict[str, Run] = {
    "TPE": cold(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "GP": cold(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "Hybrid": cold(lambda seed: HybridSampler(seed=seed)),
    "TPE + enqueue": enqueued(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "GP + enqueue": enqueued(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "Meta": meta(),
    "Meta(TPE)": meta(base=lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "Syne Tune CTS": run_cts,
    "Syne Tune BoundingBox": run_bounding_box,
    "Syne Tune ZeroShot": run_zero_shot,
    "Meta cold": cold(lambda seed: MetaPriorSampler(seed=seed)),
}


def ask_and_tell(
    sampler: BaseSampler,
    table: Table,
    seed: int,
    n_trials: int,
    first: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[float], float]:
    """Return the value of each trial and the milliseconds that one ask took on average."""
    study = optuna.create_study(sampler=sampler, study_name=f"{table.name}-{seed}")
    for params in first:
        study.enqueue_trial(dict(params), skip_if_exists=True)
    values, seconds = [], 0.0
    for _ in range(n_trials):
        start = time.perf_counter()
        trial = study.ask({} if table.conditions else dict(table.space))
        if table.conditions:
            table.suggest(trial)
        seconds += time.perf_counter() - start
        values.append(table.lookup(trial.params))
        study.tell(trial, values[-1])
    return values, 1e3 * seconds / n_trials


def jobs(
    methods: Sequence[str], targets: Sequence[str], seeds: Iterable[int]
) -> Iterator[tuple[str, str, int]]:
    """Yield what is to be run, seed by seed, so that a stopped run is even over the methods."""
    for seed in seeds:
        for target in targets:
            for method in methods:
                yield method, target, seed


def run_all(
    wanted: Sequence[tuple[str, str, int]], data: Path, cache: Path, n_trials: int
) -> list[Record]:
    """Run what the cache lacks and return everything that was asked for."""
    file = cache / "results.jsonl"
    known = {r[:3]: r for r in read_results(file) if len(r.values) >= n_trials}
    for method, target, seed in wanted:
        if (method, target, seed) in known:
            continue
        table = family_tables(data, target.split("/")[0])[target]
        sources = source_studies(data, cache, target, seed)
        values, ms = METHODS[method](table, sources, seed, n_trials)
        record = known[method, target, seed] = Record(method, target, seed, values, ms)
        with file.open("a") as stream:
            stream.write(json.dumps(record._asdict()) + "\n")
    return [known[job] for job in wanted]


def read_results(file: Path) -> list[Record]:
    """Return the results so far."""
    if not file.exists():
        return []
    return [Record(**json.loads(line)) for line in file.read_text().splitlines()]


def regrets(records: Sequence[Record], data: Path) -> dict[str, dict[str, Array]]:
    """Return regret[method][table], (seeds, trials), best so far."""
    runs: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for r in sorted(records, key=lambda r: r.seed):
        table = family_tables(data, r.table.split("/")[0])[r.table]
        best = np.minimum.accumulate(r.values)
        runs[r.method][r.table].append(np.array([table.regret(v) for v in best]))
    return {m: {t: np.stack(v) for t, v in of.items()} for m, of in runs.items()}


def print_report(records: Sequence[Record], data: Path, title: str) -> None:
    """Print regret with intervals, ranks, trials to reach cold TPE, regret by family."""
    regret = regrets(records, data)
    budgets = [b for b in BUDGETS if b <= min(len(r.values) for r in records)]
    at = [b - 1 for b in budgets]
    tables = sorted(next(iter(regret.values())))
    curves = {m: np.stack([of[t] for t in tables]) for m, of in regret.items()}  # (t, seeds, n)
    cube = np.stack([c.mean(axis=1)[:, at] for c in curves.values()])
    ranks = dict(zip(curves, rankdata(np.round(cube, 9), axis=0).mean(axis=1), strict=True))
    order = sorted(curves, key=lambda m: -curves[m].mean(axis=(0, 1))[at[-1]])
    goals = [
        curves["TPE"].mean(axis=(0, 1))[b - 1]
        for b in (25, 100)
        if "TPE" in curves and max(budgets) == 100
    ]
    print(f"\n{title}: {len(tables)} tables\n")
    heads = [f"regret@{b}" for b in budgets] + [f"rank@{b}" for b in budgets]
    heads += ["trials to TPE@25 / @100"] * bool(goals) + ["ms/ask"]
    print("| method | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for method in order:
        by_seed = curves[method].mean(axis=0)
        half = (
            1.96 * by_seed.std(axis=0, ddof=1) / np.sqrt(len(by_seed))
            if len(by_seed) > 1
            else 0 * by_seed[0]
        )
        mean = by_seed.mean(axis=0)
        cells = [f"{mean[i]:.3f} ± {half[i]:.3f}" for i in at]
        cells += [f"{rank:.2f}" for rank in ranks[method]]
        if goals:
            cells.append(" / ".join(_first_below(mean, goal) for goal in goals))
        cells.append(f"{np.mean([r.ms_per_ask for r in records if r.method == method]):.1f}")
        print(f"| {method} | " + " | ".join(cells) + " |")
    families = [f for f in FAMILIES if any(t.startswith(f) for t in tables)]
    shown = [b for b in (5, 10, 25, 100) if b in budgets]
    print(
        "\n| regret by family | "
        + " | ".join(f"{f} @{'/'.join(map(str, shown))}" for f in families)
        + " |"
    )
    print("|---|" + "---|" * len(families))
    for method in order:
        cells = []
        for family in families:
            rows = [i for i, t in enumerate(tables) if t.startswith(family)]
            mean = curves[method][rows].mean(axis=(0, 1))
            cells.append(" / ".join(f"{mean[b - 1]:.3f}" for b in shown))
        print(f"| {method} | " + " | ".join(cells) + " |")


def _first_below(mean: Array, goal: float) -> str:
    reached = np.flatnonzero(mean <= goal + 1e-12)
    return str(reached[0] + 1) if len(reached) else "-"


def blocks(
    records: Sequence[Record], targets: Sequence[str]
) -> Iterator[tuple[str, list[Record]]]:
    """Yield the methods that share most seeds, then all methods on the seeds that all have."""
    done: dict[str, set[int]] = defaultdict(set)
    for method in {r.method for r in records}:
        for seed in {r.seed for r in records}:
            have = {r.table for r in records if r.method == method and r.seed == seed}
            if have >= set(targets):
                done[method].add(seed)
    most = max(map(len, done.values()), default=0)
    for chosen in ([m for m in done if len(done[m]) == most], list(done)):
        seeds = set.intersection(*(done[m] for m in chosen)) if chosen else set()
        part = [r for r in records if r.method in chosen and r.seed in seeds]
        if part:
            yield f"{len(seeds)} seeds", part
        if len(chosen) == len(done):
            return


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the parquet files")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder of databases and results"
    )
    parser.add_argument("--methods", default="", help="comma separated; empty: all")
    parser.add_argument("--targets", default="", help="name prefixes, comma separated; empty: all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="100 and on: for choices")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--report-only", action="store_true", help="only what is there")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    methods = [m.strip() for m in args.methods.split(",")] if args.methods else list(METHODS)
    prefixes = tuple(args.targets.split(","))
    families = [f for f in FAMILIES if any(p.startswith(f) or f.startswith(p) for p in prefixes)]
    targets = [t for f in families for t in target_names(args.data, f) if t.startswith(prefixes)]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    if args.report_only:
        found = read_results(args.cache / "results.jsonl")
        records = [
            r for r in found if r.method in methods and r.table in targets and r.seed in seeds
        ]
    else:
        wanted = list(jobs(methods, targets, seeds))
        records = run_all(wanted, args.data, args.cache, args.trials)
    for title, part in blocks(records, targets):
        print_report(part, args.data, title)


if __name__ == "__main__":
    main()

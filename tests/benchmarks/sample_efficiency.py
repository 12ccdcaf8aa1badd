"""How good a configuration does each sampler find in 5, 10, 25, 50 and 100 trials?

    python -m tests.benchmarks.sample_efficiency --data DIR [--methods A,B] [--seeds 10]
        [--tables nas201,lcbench] [--trials 100] [--start own] [--jobs 1] [--cache FILE]

Protocol: a method has its own seed of a (table, seed) pair; in-memory storage; one trial at a
time. With `--start shared` all methods get the same ten random initial points, with `own` each
begins in its own way. Regret of a trial is (y - best) / (median - best) of its table, the figure
at a budget is the best so far. Ranks are taken on each table's mean over seeds and averaged over
the tables. Ratios to the first method are of means, 95 % intervals by resampling (table, seed)
pairs, or tables and their seeds where there are several tables. With a cache file a run can be
stopped and continued, and only methods that are not in it are run; methods with fewer seeds than
asked for are compared in a second block, all on the seeds they share. No method knows anything
from other studies. SMAC is run where it is installed (`smac_method`).
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
import json
from multiprocessing import get_context
from pathlib import Path
import time
from typing import Any
from typing import NamedTuple
import warnings
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
from scipy.stats import rankdata

from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import ThompsonSampler
from tests.benchmarks.more_tables import load_more
from tests.benchmarks.tables import load_tables
from tests.benchmarks.tables import Table


Array = NDArray[np.float64]

BUDGETS = (5, 10, 25, 50, 100)
N_INITIAL = 10
METHODS: dict[str, Callable[[int], BaseSampler]] = {
    "Random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "NSGA-II": lambda seed: optuna.samplers.NSGAIISampler(population_size=10, seed=seed),
    "GP": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "GA": lambda seed: GASampler(population_size=10, seed=seed),
    "GA single point": lambda seed: GASampler(
        population_size=10, crossover="single_point", seed=seed
    ),
    "Hybrid single point": lambda seed: HybridSampler(crossover="single_point", seed=seed),
    "Thompson": lambda seed: ThompsonSampler(seed=seed),
    "Hybrid": lambda seed: HybridSampler(seed=seed),
}

SMAC = {"SMAC": 8, "SMAC each": 1}  # how many trials it waits until it fits its model again


class Record(NamedTuple):
    """One finished run: what was tried is not kept, only what it gave."""

    method: str
    table: str
    seed: int
    values: list[float]
    ms_per_ask: float
    worst_ms: float = 0.0


class SharedStart(BaseSampler):
    """Let every sampler start from the same points, as members of its own first population.

    Enqueued trials would not do: samplers that number generations never see those.
    """

    def __init__(self, inner: BaseSampler, points: Sequence[Mapping[str, Any]]) -> None:
        self._inner = inner
        self._points = points

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        drawn = self._inner.sample_relative(study, trial, search_space)
        return {} if trial.number < len(self._points) else drawn

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, distribution: BaseDistribution
    ) -> Any:
        if trial.number < len(self._points):
            return self._points[trial.number][param_name]
        return self._inner.sample_independent(study, trial, param_name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._inner.after_trial(study, trial, state, values)


def run_study(
    make: Callable[[int], BaseSampler], table: Table, seed: int, n_trials: int, *, shared: bool
) -> tuple[list[float], list[float]]:
    """Return the value of each trial, and the milliseconds that each ask took."""
    sampler = make(seed)
    if shared:
        sampler = SharedStart(sampler, initial_points(table, seed))
    study = optuna.create_study(sampler=sampler, study_name=f"{table.name}-{seed}")
    values, ms = [], []
    for _ in range(n_trials):
        start = time.perf_counter()
        trial = study.ask()
        params = table.suggest(trial)
        ms.append(1e3 * (time.perf_counter() - start))
        values.append(table.lookup(params))
        study.tell(trial, values[-1])
    return values, ms


def initial_points(table: Table, seed: int) -> list[dict[str, Any]]:
    """Draw the ten points that all methods of a (table, seed) pair begin with."""
    rng_seed = crc32(f"{table.name}/{seed}".encode())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=rng_seed))
    return [table.suggest(study.ask()) for _ in range(N_INITIAL)]


def run_all(
    methods: Iterable[str],
    tables: Sequence[str],
    seeds: int,
    *,
    folder: Path,
    n_trials: int,
    shared: bool,
    jobs: int,
    cache_file: Path | None,
) -> list[Record]:
    """Run what the cache lacks and return everything that was asked for."""
    wanted = {(m, t, s) for s in range(seeds) for m in methods for t in tables}
    known = {r[:3]: r for r in read_cache(cache_file) if len(r.values) >= n_trials}
    todo = sorted(wanted - known.keys(), key=lambda job: (job[2], job[0], job[1]))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for record in pool.map(_run_one, ((*job, n_trials, shared, folder) for job in todo)):
            known[record[:3]] = record
            if cache_file is not None:
                with cache_file.open("a") as stream:
                    stream.write(json.dumps(record._asdict()) + "\n")
    return [known[job] for job in sorted(wanted)]


def read_cache(cache_file: Path | None) -> list[Record]:
    """Return the records of a cache file; none if there is no file yet."""
    if cache_file is None or not cache_file.exists():
        return []
    return [Record(**json.loads(line)) for line in cache_file.read_text().splitlines()]


def _run_one(job: tuple[str, str, int, int, bool, Path]) -> Record:
    method, name, seed, n_trials, shared, folder = job
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table = _tables(folder)[name]
    if method in SMAC:
        from tests.benchmarks.smac_method import run_smac

        values, ms = run_smac(table, seed, n_trials, retrain_after=SMAC[method])
    else:
        values, ms = run_study(METHODS[method], table, seed, n_trials, shared=shared)
    return Record(method, name, seed, values, float(np.mean(ms)), max(ms))


@cache
def _tables(folder: Path) -> dict[str, Table]:
    return {table.name: table for table in [*load_tables(folder), *load_more(folder)]}


def summarise(
    records: Sequence[Record], tables: Mapping[str, Table]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return regret[method][table] at each budget, averaged over that method's seeds."""
    runs: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        runs[record.method][record.table].append(_regrets(record, tables))
    return {m: {t: np.mean(v, axis=0) for t, v in of.items()} for m, of in runs.items()}


def _regrets(record: Record, tables: Mapping[str, Table]) -> list[float]:
    best = np.minimum.accumulate(record.values)
    budgets = [b for b in BUDGETS if b <= len(best)]
    return [tables[record.table].regret(best[b - 1]) for b in budgets]


def average_ranks(
    regret: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    """Rank the methods on each table and budget (ties share a rank), then average over tables."""
    methods = list(regret)
    cube = np.stack([[regret[m][t] for t in sorted(regret[m])] for m in methods])
    ranks = rankdata(np.round(cube, 9), axis=0).mean(axis=1)
    return dict(zip(methods, ranks, strict=True))


def print_report(records: Sequence[Record], tables: Mapping[str, Table], title: str) -> None:
    """Print regret and rank at each budget, then regret by family of tables."""
    regret = summarise(records, tables)
    ranks = average_ranks(regret)
    n_tables = len(next(iter(regret.values())))
    budgets = BUDGETS[: len(next(iter(ranks.values())))]
    print(f"\n{title}: {n_tables} tables\n")
    heads = [f"{what}@{b}" for what in ("regret", "median", "rank") for b in budgets]
    heads += ["ms/ask", "worst"]
    print("| method | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for method in sorted(regret, key=lambda m: ranks[m][-1]):
        mean = np.mean(list(regret[method].values()), axis=0)
        mine = [r for r in records if r.method == method]
        median = np.median([_regrets(r, tables) for r in mine], axis=0)
        cells = [f"{x:.3f}" for x in (*mean, *median)] + [f"{x:.2f}" for x in ranks[method]]
        cells.append(f"{np.mean([r.ms_per_ask for r in mine]):.1f}")
        cells.append(f"{max(r.worst_ms for r in mine):.0f}")
        print(f"| {method} | " + " | ".join(cells) + " |")
    print_ratios(records, tables)


def print_ratios(records: Sequence[Record], tables: Mapping[str, Table]) -> None:
    """Print mean regret by family, and its ratio to the first method's with a 95 % interval."""
    methods = list(dict.fromkeys(r.method for r in records))
    runs = {(r.method, r.table, r.seed): _regrets(r, tables) for r in records}
    families = sorted({tables[r.table].family for r in records})
    print(f"\n| family | method | regret, and ratio to {methods[0]}'s |\n|---|---|---|")
    for family in [*families, ""]:
        names = sorted(
            {r.table for r in records if tables[r.table].family == family or not family}
        )
        seeds = sorted({r.seed for r in records})
        cubes = {
            m: np.array([[runs[m, t, s] for s in seeds] for t in names]) for m in methods
        }  # (tables, seeds, budgets)
        for method in methods:
            ratio, low, high = paired_ratio(cubes[method], cubes[methods[0]])
            cells = [
                f"{mean:.3f}" + ("" if method == methods[0] else f" {r:.2f} ({a:.2f}–{b:.2f})")
                for mean, r, a, b in zip(
                    cubes[method].mean(axis=(0, 1)), ratio, low, high, strict=True
                )
            ]
            print(f"| {family or 'all'} | {method} | " + " | ".join(cells) + " |")


def paired_ratio(a: Array, b: Array, *, n_draws: int = 2_000) -> tuple[Array, Array, Array]:
    """Return the ratio of mean regrets, (tables, seeds, budgets) each, and its 95 % interval.

    Tables are drawn again, and seeds within each; the same ones for both.
    """
    rng = np.random.default_rng(0)
    n_tables, n_seeds, _ = a.shape
    drawn = []
    for _ in range(n_draws):
        t = rng.integers(n_tables, size=n_tables)[:, None]
        s = rng.integers(n_seeds, size=(n_tables, n_seeds))
        drawn.append(_ratio(a[t, s], b[t, s]))
    low, high = np.nanquantile(drawn, (0.025, 0.975), axis=0)
    return _ratio(a, b), low, high


def _ratio(a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(a.mean(axis=(0, 1)) / b.mean(axis=(0, 1)))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the parquet files")
    parser.add_argument("--methods", default="Random,TPE,NSGA-II,GA,Thompson,Hybrid")
    parser.add_argument("--tables", default="", help="name prefixes, comma separated; empty: all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--start", choices=("own", "shared"), default="own")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=None, help="JSON lines; made if missing")
    parser.add_argument("--report-only", action="store_true", help="only what the cache holds")
    args = parser.parse_args()
    methods = [m.strip() for m in args.methods.split(",")]
    tables = {
        name: table
        for name, table in _tables(args.data).items()
        if name.startswith(tuple(args.tables.split(",")))
    }
    if args.report_only:
        records = [r for r in read_cache(args.cache) if r.method in methods and r.table in tables]
    else:
        records = run_all(
            methods,
            list(tables),
            args.seeds,
            folder=args.data,
            n_trials=args.trials,
            shared=args.start == "shared",
            jobs=args.jobs,
            cache_file=args.cache,
        )
    _print_blocks(records, tables, args.seeds)


def _print_blocks(records: Sequence[Record], tables: Mapping[str, Table], seeds: int) -> None:
    """Compare the methods that have all seeds, then all methods on the seeds they share."""
    complete: dict[str, set[int]] = defaultdict(set)
    for seed in range(seeds):
        for method in {r.method for r in records}:
            done = {r.table for r in records if r.method == method and r.seed == seed}
            if done >= tables.keys():
                complete[method].add(seed)
    full = [m for m in complete if len(complete[m]) == seeds]
    if full:
        chosen = [r for r in records if r.method in full and r.seed < seeds]
        print_report(chosen, tables, f"{seeds} seeds")
    if len(full) < len(complete):
        shared = set.intersection(*complete.values())
        chosen = [r for r in records if r.method in complete and r.seed in shared]
        print_report(chosen, tables, f"seeds {sorted(shared)} only")


if __name__ == "__main__":
    main()

"""What do samplers find for the same cost, where what a trial costs is on record?

    python -m tests.benchmarks.cost --data DIR [--methods A,B] [--first 0] [--seeds 10]
        [--families deepar,lcbench,nmt,nas201] [--budget 50] [--jobs 1] [--cache FILE]

    family    tables   parameters          objective            cost
    deepar    11       6 float, nearest    CRPS                 metric_time: seconds of training
    lcbench   6        4 float, 3 int      -valid accuracy      time of the YAHPO model, 52 epochs
    nmt       3        6 ordered, nearest  -dev BLEU            dev_gpu_time: seconds of decoding
    nas201    3        6 categories        error in %           latency of the network

HPOLib's file has no times. A budget of k is k times the mean cost of random configurations of a
table; the value at a budget is the best of the trials that fit into it. Each sampler has its own
start, whose costs count: with the same seed, that of a pair is the same. Regret is (y - best) /
(median - best). Ratios are those of average regrets over tables and seeds; their interval is a
bootstrap over (table, seed) pairs, tables drawn first.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
import pandas as pd

from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source
from optuna_evo.samplers import ThompsonSampler
from tests.benchmarks.source_tables import open_model
from tests.benchmarks.tables import load_family
from tests.benchmarks.tables import load_tables
from tests.benchmarks.tables import Table


BUDGETS = (5, 10, 20, 30, 50, 100)
MOST_TRIALS = 400
COST = "cost"
N_REFERENCE = 2_000
N_SOURCES, N_SOURCE_TRIALS = 5, 60
METHODS: dict[str, Callable[[int], BaseSampler]] = {
    "Random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "Thompson": lambda seed: ThompsonSampler(seed=seed),
    "Thompson cost": lambda seed: ThompsonSampler(cost=COST, seed=seed),
    "Hybrid": lambda seed: HybridSampler(seed=seed),
    "Hybrid cost": lambda seed: HybridSampler(cost=COST, seed=seed),
}
META = {"Meta": None, "Meta cost": COST}
PAIRS = (("Hybrid cost", "Hybrid"), ("Thompson cost", "Thompson"), ("Meta cost", "Meta"))


@dataclass(frozen=True)
class Costed:
    """A table, and what each configuration costs in units of the mean of random ones."""

    table: Table
    cost: Callable[[Mapping[str, Any]], float]


class Record(NamedTuple):
    """One run: values and costs of its trials."""

    method: str
    table: str
    seed: int
    values: list[float]
    costs: list[float]


def load_costed(folder: Path, families: Sequence[str]) -> list[Costed]:
    loaders = {"deepar": _deepar, "lcbench": _lcbench, "nmt": _nmt, "nas201": _nas201}
    return [_in_means(costed) for family in families for costed in loaders[family](folder)]


def _deepar(folder: Path) -> list[Costed]:
    frame = pd.read_parquet(folder / "deepar.parquet")
    found = []
    for table in load_family(folder, "deepar"):
        part = frame[frame["task"] == table.name.partition("/")[2]]
        seconds, values = part["metric_time"].to_numpy(), part["metric_CRPS"].to_numpy()
        found.append(Costed(table, _of_same_row(table, part, values, seconds)))
    return found


def _of_same_row(
    table: Table, part: pd.DataFrame, values: NDArray[np.float64], costs: NDArray[np.float64]
) -> Callable[[Mapping[str, Any]], float]:
    """Return the cost of the recorded configuration that a table answers with."""
    low = np.array([d.low for d in table.space.values()])  # type: ignore[attr-defined]
    width = np.array([d.high for d in table.space.values()]) - low  # type: ignore[attr-defined]
    recorded = (part[list(table.space)].to_numpy() - low) / width

    def cost(params: Mapping[str, Any]) -> float:
        place = (np.array([params[k] for k in table.space]) - low) / width
        row = int(((recorded - place) ** 2).sum(axis=1).argmin())
        assert table.lookup(params) == values[row]
        return float(costs[row])

    return cost


def _nmt(folder: Path) -> list[Costed]:
    frame = pd.read_parquet(folder / "nmt_transformer.parquet")
    names = ["bpe_symbols", "num_layers", "num_embed", "num_hidden", "num_heads", "learning_rate"]
    found = []
    for task, part in frame.groupby("task"):
        levels = {name: np.sort(part[name].unique()) for name in names}
        space = {n: IntDistribution(0, len(v) - 1) for n, v in levels.items() if len(v) > 1}
        ranks = pd.DataFrame({n: np.searchsorted(levels[n], part[n]) for n in space})
        values, costs = -part["dev_bleu"].to_numpy(), part["dev_gpu_time"].to_numpy()
        width = np.array([d.high for d in space.values()])
        places = ranks.to_numpy() / width

        def row(
            params: Mapping[str, Any],
            names: tuple[str, ...] = tuple(space),
            width: NDArray[np.float64] = width,
            places: NDArray[np.float64] = places,
        ) -> int:
            asked = np.array([params[n] for n in names]) / width
            return int(((places - asked) ** 2).sum(axis=1).argmin())

        found.append(
            Costed(
                Table(
                    f"nmt/{task}",
                    "nmt",
                    space,
                    lambda p, row=row, values=values: float(values[row(p)]),
                    float(values.min()),
                    float(np.median(values)),
                ),
                lambda p, row=row, costs=costs: float(costs[row(p)]),
            )
        )
    return found


def _nas201(folder: Path) -> list[Costed]:
    frame = pd.read_parquet(folder / "nas_bench_201.parquet")
    names = [f"hp_x{i}" for i in range(6)]
    found = []
    for table in load_family(folder, "nas201"):
        part = frame[frame["task"] == table.name.partition("/")[2]]
        grid = np.full([5] * 6, np.nan)
        grid[tuple(part[names].astype(int).to_numpy().T)] = part["metric_latency"]
        space = table.space

        def cost(
            params: Mapping[str, Any], grid: NDArray[np.float64] = grid, space: Any = space
        ) -> float:
            return float(grid[tuple(int(space[n].to_internal_repr(params[n])) for n in names)])

        found.append(Costed(table, cost))
    return found


def _lcbench(folder: Path) -> list[Costed]:
    root = folder / "yahpo" / "lcbench"
    session = open_model(root)
    columns = json.loads((root / "columns.json").read_text())
    codes = json.loads((root / "encoding.json").read_text())["OpenML_task_id"]
    time = columns["y_names"].index("time")

    def of(task: str) -> Callable[[Mapping[str, Any]], float]:
        def cost(params: Mapping[str, Any]) -> float:
            row = [[52.0 if c == "epoch" else params[c] for c in columns["cont_names"]]]
            x_cat = np.array([[codes[task]]], dtype=np.int32)
            out = session.run(None, {"x_cat": x_cat, "x_cont": np.array(row, dtype=np.float32)})
            return max(float(out[0][0, time]), 1.0)

        return cost

    tables = [t for t in load_tables(folder) if t.family == "lcbench"]
    return [Costed(table, of(table.name.partition("/")[2])) for table in tables]


def _in_means(costed: Costed) -> Costed:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [study.ask(dict(costed.table.space)).params for _ in range(N_REFERENCE // 4)]
    mean = float(np.mean([costed.cost(params) for params in drawn]))
    return Costed(costed.table, lambda params: costed.cost(params) / mean)


def run(
    sampler: BaseSampler, costed: Costed, seed: int, budget: float
) -> tuple[list[float], list[float]]:
    """Run until the budget is spent; the last trial may go beyond it, and then counts nowhere."""
    table = costed.table
    study = optuna.create_study(study_name=f"{table.name}/{seed}", sampler=sampler)
    values: list[float] = []
    costs: list[float] = []
    while sum(costs) < budget and len(values) < MOST_TRIALS:
        trial = study.ask()
        params = {name: trial._suggest(name, dist) for name, dist in table.space.items()}
        values.append(table.lookup(params))
        costs.append(costed.cost(params))
        trial.set_user_attr(COST, costs[-1])
        study.tell(trial, values[-1])
    return values, costs


@cache
def sources_of(name: str) -> tuple[Source, ...]:
    costed = _TABLES[name]
    family = [c for c in _TABLES.values() if c.table.family == costed.table.family]
    return tuple(_sources(costed, family))


def _sources(costed: Costed, family: Sequence[Costed]) -> list[Source]:
    """Return other tables of the family as sources: what TPE found in some trials."""
    found = []
    others = [other for other in family if other.table.name != costed.table.name]
    for i, other in enumerate(others[:N_SOURCES]):
        study = optuna.create_study(
            study_name=other.table.name, sampler=optuna.samplers.TPESampler(seed=1000 + i)
        )

        def objective(trial: optuna.Trial, table: Table = other.table) -> float:
            return table.lookup({n: trial._suggest(n, d) for n, d in table.space.items()})

        study.optimize(objective, n_trials=N_SOURCE_TRIALS)
        found.append(read_source(study))
    return found


def regret_at(record: Record, costed: Costed, budget: float) -> float:
    """Return the regret of the best trial that fits into a budget; 1.5 before there is one."""
    spent = np.cumsum(record.costs)
    n = int(np.searchsorted(spent, budget, side="right"))
    return costed.table.regret(min(record.values[:n])) if n else 1.5


_TABLES: dict[str, Costed] = {}


def _work(job: tuple[str, str, int, float, str]) -> Record:
    method, name, seed, budget, data = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    family = name.partition("/")[0]
    if name not in _TABLES:
        _TABLES.update({c.table.name: c for c in load_costed(Path(data), [family])})
    costed = _TABLES[name]
    if method in META:
        sampler: BaseSampler = MetaPriorSampler(sources_of(name), cost=META[method], seed=seed)
    else:
        sampler = METHODS[method](seed)
    return Record(method, name, seed, *run(sampler, costed, seed, budget))


def report(
    records: Sequence[Record], tables: Mapping[str, Costed], budgets: Sequence[float]
) -> None:
    by = {(r.method, r.table, r.seed): r for r in records}
    methods = list(dict.fromkeys(r.method for r in records))
    families = list(dict.fromkeys(t.partition("/")[0] for t in tables))
    print(
        "| family | method | " + " | ".join(f"{b:g}" for b in budgets) + " | trials at the end |"
    )
    print("|---|---|" + "---|" * (len(budgets) + 1))
    for family in families:
        for method in methods:
            chosen = [r for r in records if r.method == method and r.table.startswith(family)]
            if not chosen:
                continue
            means = [np.mean([regret_at(r, tables[r.table], b) for r in chosen]) for b in budgets]
            n = np.mean([len(r.values) for r in chosen])
            shown = " | ".join(f"{m:.3f}" for m in means)
            print(f"| {family} | {method} | {shown} | {n:.0f} |")
    print()
    print("| family | ratio | " + " | ".join(f"{b:g}" for b in budgets) + " |")
    print("|---|---|" + "---|" * len(budgets))
    for family in [*families, ""]:
        for ours, blind in PAIRS:
            pairs = defaultdict(list)
            for method, table, seed in by:
                if method == ours and table.startswith(family) and (blind, table, seed) in by:
                    pairs[table].append((by[ours, table, seed], by[blind, table, seed]))
            if not pairs:
                continue
            cells = [_ratio(pairs, tables, budget) for budget in budgets]
            print(f"| {family or 'all'} | {ours} / {blind} | {' | '.join(cells)} |")


def _ratio(pairs: Mapping[str, Any], tables: Mapping[str, Costed], budget: float) -> str:
    regrets = [
        np.array([[regret_at(r, tables[name], budget) for r in pair] for pair in found])
        for name, found in pairs.items()
    ]
    rng = np.random.default_rng(0)
    means = np.mean([part.mean(axis=0) for part in regrets], axis=0)
    drawn = []
    for _ in range(2000):
        chosen = [regrets[i] for i in rng.integers(len(regrets), size=len(regrets))]
        drawn.append(
            np.mean([p[rng.integers(len(p), size=len(p))].mean(axis=0) for p in chosen], axis=0)
        )
    sample = np.array(drawn)
    low, high = np.quantile(sample[:, 0] / np.maximum(sample[:, 1], 1e-12), [0.025, 0.975])
    return f"{means[0] / max(means[1], 1e-12):.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--methods", default="Random,TPE,Thompson,Thompson cost,Hybrid,Hybrid cost"
    )
    parser.add_argument("--families", default="deepar,lcbench,nmt,nas201")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=50.0)
    parser.add_argument("--limit", type=int, default=None, help="tables of a family")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    data = args.data / "hpo" if (args.data / "hpo").is_dir() else args.data
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables: dict[str, Costed] = {}
    for family in args.families.split(","):
        tables |= {c.table.name: c for c in load_costed(data, [family])[: args.limit]}
    done: list[Record] = []
    if args.cache and args.cache.exists():
        done = [Record(*json.loads(line)) for line in args.cache.read_text().splitlines()]
    known = {(r.method, r.table, r.seed) for r in done}
    seeds = range(args.first, args.first + args.seeds)
    jobs = [
        (method, name, seed, args.budget, str(data))
        for seed in seeds
        for name in tables
        for method in args.methods.split(",")
        if (method, name, seed) not in known
    ]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for record in pool.map(_work, jobs, chunksize=1):
            done.append(record)
            if args.cache:
                with args.cache.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    wanted = [r for r in done if r.table in tables and r.seed in seeds]
    wanted = [r for r in wanted if r.method in args.methods.split(",")]
    report(wanted, tables, [b for b in BUDGETS if b <= args.budget])


if __name__ == "__main__":
    main()

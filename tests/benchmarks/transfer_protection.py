"""What do bad sources cost, and what do sources of another space give?

    python -m tests.benchmarks.transfer_protection --data DIR --cache DIR [--seeds 5]
        [--first-seed 0] [--targets hpobench,hpolib,nas201] [--report-only]

The target tables and the old studies are those of `transfer`, changed before they are read:

    random      the values of each source are drawn anew from a normal distribution
    inverted    the values of each source are negated: the best becomes the worst
    foreign     studies of another family, each parameter read as one of the target's
    elsewhere   parameters keep their names, but each trial's values belong to other parameters
    half        every second parameter of the sources is taken away
    ranges      numbers of the sources cover only the upper two thirds of the target's range
    categories  the sources lack the first choice of each category, and have one more
    none        no sources: the cold base, `MetaPriorSampler` alone

Regret and protocol as in `transfer`; a ratio is that of the means over tables and seeds, its
interval comes from 1,000 resamplings of the seeds.
"""

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source
from optuna_evo.surrogates import SpaceEncoding
from tests.benchmarks.sample_efficiency import Record
from tests.benchmarks.tables import FAMILIES
from tests.benchmarks.transfer import ask_and_tell
from tests.benchmarks.transfer import read_results
from tests.benchmarks.transfer_sources import family_tables
from tests.benchmarks.transfer_sources import source_studies
from tests.benchmarks.transfer_sources import target_names


BUDGETS = (5, 10, 25, 100)
Rng = np.random.Generator
MAX_FOREIGN = 8  # sources
OTHERS = {  # the family that the foreign studies of a target are of
    "hpobench": "taskset",
    "hpolib": "hpobench",
    "nas201": "taskset",
    "adaboost": "deepar",
    "deepar": "lcbench",
    "lcbench": "hpobench",
    "taskset": "lcbench",
    "nmt": "hpobench",
    "glmnet": "taskset",
    "deepobs": "hpobench",
    "branches": "taskset",
}


def randomised(source: Source, rng: Rng) -> Source:
    """Return the source with values that mean nothing."""
    return replace(source, losses=rng.standard_normal(len(source.losses)))


def inverted(source: Source, _: Rng) -> Source:
    """Return the source with its order turned around."""
    return replace(source, losses=-source.losses)


def elsewhere(source: Source, rng: Rng) -> Source:
    """Return the source with each parameter's column in an order of its own."""
    params = {name: rng.permutation(column) for name, column in source.params.items()}
    return replace(source, params=params)


def half(source: Source, _: Rng) -> Source:
    """Return the source without every second parameter."""
    kept = sorted(source.params)[::2]
    return replace(
        source,
        params={name: source.params[name] for name in kept},
        distributions={name: source.distributions[name] for name in kept},
    )


def narrower(source: Source, _: Rng) -> Source:
    """Return the trials of the source in the upper two thirds of each number's range."""
    keep = np.ones(len(source.losses), dtype=bool)
    space: dict[str, BaseDistribution] = {}
    for name, dist in source.distributions.items():
        space[name] = dist
        if isinstance(dist, IntDistribution) and dist.high > dist.low and not dist.log:
            low = dist.low + (dist.high - dist.low + 1) // 3
            space[name] = IntDistribution(low, dist.high)
            keep &= source.params[name] >= low
        elif isinstance(dist, FloatDistribution) and not dist.log:
            low_float = dist.low + (dist.high - dist.low) / 3
            space[name] = FloatDistribution(low_float, dist.high)
            keep &= source.params[name] >= low_float
    params = {name: column[keep] for name, column in source.params.items()}
    return replace(source, params=params, losses=source.losses[keep], distributions=space)


def other_choices(source: Source, _: Rng) -> Source:
    """Return the trials without the first choice of any category; a new choice takes its place."""
    keep = np.ones(len(source.losses), dtype=bool)
    space: dict[str, BaseDistribution] = {}
    for name, dist in source.distributions.items():
        space[name] = dist
        if isinstance(dist, CategoricalDistribution):
            space[name] = CategoricalDistribution(["a choice of old", *dist.choices[1:]])
            keep &= source.params[name] != 0
    params = {name: column[keep] for name, column in source.params.items()}
    return replace(source, params=params, losses=source.losses[keep], distributions=space)


def renamed(source: Source, space: Mapping[str, BaseDistribution]) -> Source:
    """Return a source of another space, its parameters read as those of `space`, in turns."""
    encoding = SpaceEncoding(dict(source.distributions))
    units = np.nan_to_num(encoding.units(source.configurations), nan=0.5)
    for j, axis in enumerate(encoding.axes):
        if axis.is_category and axis.n_levels is not None:
            units[:, j] = (units[:, j] + 0.5) / axis.n_levels
    params: dict[str, NDArray[np.float64]] = {}
    for j, name in enumerate(sorted(space)):
        column, dist = units[:, j % units.shape[1]], space[name]
        if isinstance(dist, CategoricalDistribution):
            n = len(dist.choices)
            params[name] = np.minimum(np.floor(column * n), n - 1)
        else:
            own = SpaceEncoding({name: dist})
            rows = own.snap(column[:, None])
            params[name] = np.array([float(own.values(row)[name]) for row in rows])
    return Source(source.name, dict(space), params, source.losses)


CHANGES: dict[str, Callable[[Source, Rng], Source] | None] = {
    "none": None,
    "random": randomised,
    "inverted": inverted,
    "elsewhere": elsewhere,
    "foreign": None,
    "half": half,
    "ranges": narrower,
    "categories": other_choices,
}


def run(change: str, target: str, seed: int, data: Path, cache: Path, n_trials: int) -> Record:
    """Run one study with changed sources."""
    table = family_tables(data, target.split("/")[0])[target]
    apply = CHANGES[change]
    sources: list[Source] = []
    if change == "foreign":
        other = target_names(data, OTHERS[table.family])[0]
        studies = source_studies(data, cache, other, seed)[:MAX_FOREIGN]
        sources = [renamed(read_source(study), table.space) for study in studies]
    if apply is not None:
        rng = np.random.default_rng(crc32(f"{change}/{target}/{seed}".encode()))
        studies = source_studies(data, cache, target, seed)
        sources = [apply(read_source(study), rng) for study in studies]
    sampler = MetaPriorSampler(sources, seed=seed)
    return Record(change, target, seed, *ask_and_tell(sampler, table, seed, n_trials))


def print_report(records: Sequence[Record], data: Path) -> None:
    """Print regret at the budgets, and its ratio to the cold base, over what all have."""
    changes = [c for c in CHANGES if any(r.method == c for r in records)]
    shared = set.intersection(*({r[1:3] for r in records if r.method == c} for c in changes))
    seeds = sorted({seed for _, seed in shared})
    budgets = [b for b in BUDGETS if b <= min(len(r.values) for r in records)]
    at = [b - 1 for b in budgets]

    def by_seed(change: str) -> NDArray[np.float64]:
        rows: dict[int, list[NDArray[np.float64]]] = {seed: [] for seed in seeds}
        for r in records:
            if r.method == change and r[1:3] in shared:
                table = family_tables(data, r.table.split("/")[0])[r.table]
                best = np.minimum.accumulate(r.values)
                rows[r.seed].append(np.array([table.regret(best[i]) for i in at]))
        return np.stack([np.mean(rows[seed], axis=0) for seed in seeds])

    cold = by_seed("none")
    picks = np.random.default_rng(0).integers(len(seeds), size=(1_000, len(seeds)))
    print(f"\n{len(shared)} pairs of table and seed, {len(seeds)} seeds\n")
    heads = [f"regret@{b}" for b in budgets] + [f"ratio@{b} (95 %)" for b in budgets]
    print("| sources | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for change in changes:
        own = by_seed(change)
        ratio = own.mean(axis=0) / cold.mean(axis=0)
        low, high = np.percentile(
            own[picks].mean(axis=1) / cold[picks].mean(axis=1), (2.5, 97.5), axis=0
        )
        cells = [f"{x:.3f}" for x in own.mean(axis=0)]
        spans = zip(ratio, low, high, strict=True)
        cells += [f"{x:.2f} ({lo:.2f}–{hi:.2f})" for x, lo, hi in spans]
        print(f"| {change} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the parquet files")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder of databases and results"
    )
    parser.add_argument("--targets", default="hpobench,hpolib,nas201")
    parser.add_argument("--changes", default=",".join(CHANGES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="100 and on: for choices")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--report-only", action="store_true", help="only what is there")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prefixes = tuple(args.targets.split(","))
    families = [f for f in FAMILIES if any(p.startswith(f) or f.startswith(p) for p in prefixes)]
    targets = [t for f in families for t in target_names(args.data, f) if t.startswith(prefixes)]
    file = args.cache / "protection.jsonl"
    known = {r[:3]: r for r in read_results(file) if len(r.values) >= args.trials}
    wanted = [
        (change, target, seed)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for target in targets
        for change in args.changes.split(",")
    ]
    for job in wanted:
        if job not in known and not args.report_only:
            record = known[job] = run(*job, args.data, args.cache, args.trials)
            with file.open("a") as stream:
                stream.write(json.dumps(record._asdict()) + "\n")
    print_report([known[job] for job in wanted if job in known], args.data)


if __name__ == "__main__":
    main()

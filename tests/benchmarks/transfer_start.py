"""What do old studies give in the first trials, and what do they cost where they mislead?

    python -m tests.benchmarks.transfer_start --data DIR --cache DIR [--seeds 10] [--first-seed 0]
        [--families hpobench,taskset] [--sources honest,inverted,random,foreign] [--trials 25]
        [--processes 2] [--report-only]

One table: mean regret of `MetaPriorSampler` with sources, divided by that of the same sampler
without them ("cold"), and for honest sources also by that of TPE after the best configuration of
each source ("enqueued"). Targets, sources and regret are those of `transfer`, what is done to
sources is that of `transfer_protection`; `deepobs` and `branches` are conditional spaces, with
their own other tables as sources. A ratio is that of the means over the tables of a family and
over seeds, in brackets 95 % from 1,000 resamplings of the seeds, which all methods share; the last
column is the geometric mean over families. Results are kept a line each in `start.jsonl` of the
cache folder, so that a run can be stopped and continued.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
import json
from pathlib import Path
import warnings

import numpy as np
from numpy.typing import NDArray
import optuna

from tests.benchmarks.sample_efficiency import Record
from tests.benchmarks.transfer import METHODS
from tests.benchmarks.transfer import read_results
from tests.benchmarks.transfer_protection import CHANGES
from tests.benchmarks.transfer_protection import OTHERS
from tests.benchmarks.transfer_protection import run as run_changed
from tests.benchmarks.transfer_sources import family_tables
from tests.benchmarks.transfer_sources import source_studies
from tests.benchmarks.transfer_sources import target_names
from tests.benchmarks.transfer_sources import TARGETS


Array = NDArray[np.float64]
Job = tuple[str, str, int]

BUDGETS = (5, 10, 25)
PLAIN = {"enqueued": "TPE + enqueue", "honest": "Meta"}
COLD, ENQUEUED = "none", "enqueued"
DEFAULT_FAMILIES = "hpobench,hpolib,nas201,lcbench,taskset,deepar,deepobs,branches"
DEFAULT_SOURCES = "honest,inverted,random,foreign"
N_RESAMPLINGS = 1_000


def run(job: Job, data: Path, cache: Path, n_trials: int) -> Record:
    """Run one study."""
    kind, target, seed = job
    if kind not in PLAIN:
        return run_changed(kind, target, seed, data, cache, n_trials)
    table = family_tables(data, target.split("/")[0])[target]
    sources = source_studies(data, cache, target, seed)
    return Record(kind, target, seed, *METHODS[PLAIN[kind]](table, sources, seed, n_trials))


def run_all(
    jobs: Sequence[Job], data: Path, cache: Path, n_trials: int, n_processes: int
) -> dict[Job, Record]:
    """Run what the cache lacks and return everything that was asked for."""
    file = cache / "start.jsonl"
    cache.mkdir(parents=True, exist_ok=True)
    known = {r[:3]: r for r in read_results(file) if len(r.values) >= n_trials}
    missing = [job for job in jobs if job not in known]
    for target, seed in dict.fromkeys((target, seed) for _, target, seed in missing):
        family = target.split("/")[0]
        other = {OTHERS[family]} if any(kind == "foreign" for kind, *_ in missing) else set()
        for name in {family, *other}:  # databases are filled once, before processes share them
            source_studies(data, cache, target_names(data, name)[0], seed)
    with (
        file.open("a") as stream,
        ProcessPoolExecutor(n_processes, initializer=_be_quiet) as pool,
    ):
        for done in as_completed(pool.submit(run, job, data, cache, n_trials) for job in missing):
            record = done.result()
            known[record[:3]] = record
            stream.write(json.dumps(record._asdict()) + "\n")
            stream.flush()
    return {job: known[job] for job in jobs}


def by_seed(records: Iterable[Record], data: Path) -> dict[tuple[str, str], dict[int, Array]]:
    """Return the regret at the budgets by (kind, family) and seed, mean over tables."""
    rows: dict[tuple[str, str], dict[int, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        family = record.table.split("/")[0]
        table = family_tables(data, family)[record.table]
        best = np.minimum.accumulate(record.values)
        regret = np.array([table.regret(best[b - 1]) for b in BUDGETS if b <= len(best)])
        rows[record.method, family][record.seed].append(regret)
    return {
        key: {seed: np.mean(parts, axis=0) for seed, parts in of.items()}
        for key, of in rows.items()
    }


def ratio(own: dict[int, Array], other: dict[int, Array]) -> Array | None:
    """Return the ratio and its interval at each budget, (budgets, 3); None without a seed."""
    seeds = sorted(own.keys() & other.keys())
    if not seeds:
        return None
    a, b = (np.stack([of[seed] for seed in seeds]) for of in (own, other))
    picks = np.random.default_rng(0).integers(len(seeds), size=(N_RESAMPLINGS, len(seeds)))
    drawn = a[picks].mean(axis=1) / b[picks].mean(axis=1)
    spans = np.percentile(drawn, (2.5, 97.5), axis=0)
    return np.stack([a.mean(axis=0) / b.mean(axis=0), *spans], axis=1)


def print_report(
    records: Iterable[Record], kinds: Sequence[str], families: Sequence[str], data: Path
) -> None:
    """Print the table."""
    regret = by_seed(records, data)
    rows = [(kind, COLD) for kind in kinds]
    if "honest" in kinds:
        rows.insert(0, ("honest", ENQUEUED))
    print("\n| sources | at | " + " | ".join(families) + " | all |")
    print("|---|---|" + "---|" * (len(families) + 1))
    for kind, other in rows:
        found = [ratio(regret.get((kind, f), {}), regret.get((other, f), {})) for f in families]
        known = [r for r in found if r is not None]
        for k, budget in enumerate(BUDGETS[: min((len(r) for r in known), default=0)]):
            cells = ["–" if r is None else "{:.2f} ({:.2f}–{:.2f})".format(*r[k]) for r in found]
            mean = float(np.exp(np.mean([np.log(r[k, 0]) for r in known])))
            name = f"{kind} / {'cold' if other == COLD else other}" if k == 0 else ""
            print(f"| {name} | {budget} | " + " | ".join(cells) + f" | {mean:.2f} |")


def _be_quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the parquet files")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder of databases and results"
    )
    parser.add_argument("--families", default=DEFAULT_FAMILIES)
    parser.add_argument("--sources", default=DEFAULT_SOURCES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="100 and on: for choices")
    parser.add_argument("--trials", type=int, default=BUDGETS[-1])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report-only", action="store_true", help="only what is there")
    args = parser.parse_args()
    families, kinds = args.families.split(","), args.sources.split(",")
    for given, there in ((families, TARGETS), (kinds, {"honest", *CHANGES})):
        if unknown := [name for name in given if name not in there]:
            parser.error(f"no {unknown[0]!r}; there are {', '.join(sorted(there))}")
    _be_quiet()
    needed = [COLD, *([ENQUEUED] if "honest" in kinds else []), *kinds]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    targets = [target for family in families for target in target_names(args.data, family)]
    jobs = [(kind, target, seed) for seed in seeds for target in targets for kind in needed]
    if args.report_only:
        wanted = set(jobs)
        records = [r for r in read_results(args.cache / "start.jsonl") if r[:3] in wanted]
    else:
        records = list(run_all(jobs, args.data, args.cache, args.trials, args.processes).values())
    print_report(records, kinds, families, args.data)


if __name__ == "__main__":
    main()

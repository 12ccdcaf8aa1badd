"""Hyperparameters that evolve while a model trains, beside fixed and searched ones.

    python -m tests.benchmarks.recurrence [--task gpt2] [--seeds 5] [--rounds 8] [--cache FILE]
    python -m tests.benchmarks.recurrence --task digits --batch 8  (or fashion_mnist)

All methods train the same GPT-2 (1.4 million parameters) on the same text, or the same CNN on the
same images, with the same trainer, and may spend the same number of optimizer steps in total. They
see a validation loss on a few rows after every segment; the table holds the loss of the model they
end with on all validation rows: its mean over seeds, and the difference to RecurrenceSampler on
the same seed with a 95 % interval.
Trials that are pruned train for at most 1/4 or 1/2 of all steps. Warm-up and clipping are the
trainer's, for all methods.
Finished runs are kept in the cache, so a stopped benchmark goes on.
"""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
import functools
import json
import math
from pathlib import Path
import time
from typing import Any

import click
import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
from scipy import stats
import torch

from optuna_evo import RecurrenceSampler
from optuna_evo import segment_of
from tests.benchmarks.recurrence_lab import Budget
from tests.benchmarks.recurrence_lab import Lab
from tests.benchmarks.recurrence_lab import LR_RANGE
from tests.benchmarks.recurrence_lab import PUBLISHED
from tests.benchmarks.recurrence_lab import space
from tests.benchmarks.recurrence_lab import Spent
from tests.benchmarks.recurrence_lab import State
from tests.benchmarks.recurrence_lab import TITLES


KNOWN = {**PUBLISHED, "lr": 1e-3}
OTHER_SEED = 1000  # of the training that reruns a schedule
N_RATES = 8


def fixed(lab: Lab, seed: int, *, params: Mapping[str, float]) -> State:
    """Train one model with hyperparameters that nobody looked for."""
    state = State(None)
    while lab.steps < lab.budget.total:
        state = lab.go_on(state, params)
    return state


def best_fixed(lab: Lab, seed: int) -> State:
    """Share the steps among learning rates that cover the range; the model that ends best."""
    low, high = np.log(LR_RANGE)
    rates = np.exp(low + (high - low) * (np.arange(N_RATES) + 0.5) / N_RATES)
    best = State(None)
    for rate in rates:
        state = State(None)
        for _ in range(lab.budget.segments // N_RATES):
            state = lab.go_on(state, {**PUBLISHED, "lr": float(rate)})
        best = min(best, state, key=lambda s: s.loss)
    return best


def searched(
    lab: Lab, seed: int, *, make_sampler: Callable[..., BaseSampler], pruner: str, share: float
) -> State:
    """Search with a pruner; a trial trains for at most a `share` of all steps."""
    n_segments = int(share * lab.budget.total) // lab.budget.segment
    pruners: Mapping[str, optuna.pruners.BasePruner] = {
        "halving": optuna.pruners.SuccessiveHalvingPruner(),
        "hyperband": optuna.pruners.HyperbandPruner(max_resource=n_segments),
    }
    study = optuna.create_study(
        study_name=f"{pruner}-{seed}", sampler=make_sampler(seed=seed), pruner=pruners[pruner]
    )
    best = State(None)
    while True:
        trial = study.ask()
        space(trial)
        state = State(None)
        try:
            for step in range(1, n_segments + 1):
                state = lab.go_on(state, trial.params)
                trial.report(state.loss, step)
                if trial.should_prune():
                    break
        except Spent:
            return min(best, state, key=lambda s: s.loss)
        best = min(best, state, key=lambda s: s.loss)
        pruned = len(state.schedule) < n_segments
        study.tell(
            trial,
            None if pruned else state.loss,
            state=optuna.trial.TrialState.PRUNED if pruned else None,
        )


def ours(budget: Budget, seed: int) -> RecurrenceSampler:
    """Return the sampler with its defaults, told how long the study is."""
    return RecurrenceSampler(
        population_size=budget.population, anneal=("lr",), n_trials=budget.segments, seed=seed
    )


def linear(budget: Budget, seed: int) -> RecurrenceSampler:
    """Return the sampler as it was before rivals were halved, cooled to fit the budget."""
    return RecurrenceSampler(
        population_size=budget.population,
        anneal=("lr",),
        cooling=budget.cooling,
        rivalry="linear",
        seed=seed,
    )


def published(budget: Budget, seed: int) -> RecurrenceSampler:
    """Return the preset as it is."""
    return RecurrenceSampler.published(population_size=budget.population, seed=seed)


def evolved(
    lab: Lab, seed: int, *, make: Callable[[Budget, int], RecurrenceSampler], inherit: str
) -> State:
    """Evolve while training; the model that ends with the lowest loss seen."""
    sampler = make(lab.budget, seed)
    study = optuna.create_study(study_name="recurrence", sampler=sampler)
    latest: dict[int, tuple[int, State]] = {}
    best = state = State(None)
    while lab.steps < lab.budget.total:
        trial = study.ask()
        space(trial)
        segment = segment_of(study.get_trials(deepcopy=False)[trial.number])
        assert segment is not None
        if inherit == "parent":
            kept = dict(latest.values())
            state = State(None) if segment.parent is None else kept[segment.parent]
        state = lab.go_on(state, trial.params)
        latest[segment.member] = trial.number, state
        best = min(best, state, key=lambda s: s.loss)
        study.tell(trial, state.loss)
    return best if inherit == "parent" else state


def tune_pbt(lab: Lab, seed: int) -> State:
    """Ray Tune's population-based training with the same ranges and population."""
    from tests.benchmarks.ray_pbt import run_pbt

    return run_pbt(lab, seed)


halving = functools.partial(searched, make_sampler=RandomSampler, pruner="halving")
hyperband = functools.partial(searched, make_sampler=TPESampler, pruner="hyperband")
METHODS: Mapping[str, Callable[[Lab, int], State]] = {
    "RecurrenceSampler": functools.partial(evolved, make=ours, inherit="parent"),
    "RecurrenceSampler, linear rivalry": functools.partial(evolved, make=linear, inherit="parent"),
    "best of 8 fixed learning rates": best_fixed,
    "published rule, one model in turn": functools.partial(
        evolved, make=published, inherit="shared"
    ),
    "published defaults, fixed (lr 1e-4)": functools.partial(fixed, params=PUBLISHED),
    "random + SuccessiveHalving, 1/4": functools.partial(halving, share=0.25),
    "TPE + Hyperband, 1/4": functools.partial(hyperband, share=0.25),
    "Ray Tune PBT": tune_pbt,
    "random + SuccessiveHalving, 1/2": functools.partial(halving, share=0.5),
    "TPE + Hyperband, 1/2": functools.partial(hyperband, share=0.5),
    "lr 1e-3, fixed, as if it were known": functools.partial(fixed, params=KNOWN),
}
RERUN = "its schedule, rerun from scratch"
STRETCHED = "its schedule, rerun with all steps"


def rerun(lab: Lab, state: State, n_segments: int) -> State:
    """Train from other fresh weights on other batches with the stretched schedule of a lineage."""
    again, n_pieces = State(None), len(state.schedule)
    for k in range(n_segments):
        again = lab.go_on(again, state.schedule[k * n_pieces // n_segments])
    return again


def run_method(name: str, budget: Budget, seed: int) -> list[dict[str, Any]]:
    """Return the record of a run; for RecurrenceSampler, also those of its schedule's reruns."""
    lab = Lab(budget, seed)
    start = time.perf_counter()
    state = METHODS[name](lab, seed)
    records = [_record(name, budget, seed, lab, state, start)]
    if name == "RecurrenceSampler":
        for again, n in ((RERUN, len(state.schedule)), (STRETCHED, budget.segments)):
            start, fresh = time.perf_counter(), Lab(budget, seed + OTHER_SEED)
            end = rerun(fresh, state, n)
            records.append(_record(again, budget, seed, fresh, end, start))
    return records


def _record(
    name: str, budget: Budget, seed: int, lab: Lab, state: State, start: float
) -> dict[str, Any]:
    return {
        "method": name,
        "budget": asdict(budget),
        "seed": seed,
        "loss": lab.final_loss(state),
        "steps": lab.steps,
        "depth": len(state.schedule) * budget.segment,
        "schedule": [dict(params) for params in state.schedule],
        "seconds": time.perf_counter() - start,
    }


@click.command()
@click.option("--task", type=click.Choice([*TITLES]), default="gpt2", show_default=True)
@click.option("--seeds", default=5, show_default=True, help="Repetitions.")
@click.option("--first-seed", default=0, show_default=True)
@click.option("--rounds", default=8, show_default=True, help="Segments of a member.")
@click.option("--segment", default=10, show_default=True, help="Optimizer steps of a segment.")
@click.option("--batch", default=4, show_default=True, help="Rows of a step.")
@click.option("--cooling", default=0.97, show_default=True, help="With linear rivalry.")
@click.option("--method", "methods", multiple=True, help="Only these.")
@click.option("--cache", type=click.Path(path_type=Path), help="JSON lines of finished runs.")
def main(
    task: str,
    seeds: int,
    first_seed: int,
    rounds: int,
    segment: int,
    batch: int,
    cooling: float,
    methods: tuple[str, ...],
    cache: Path | None,
) -> None:
    """Print the final validation loss of each method."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    budget = Budget(task=task, rounds=rounds, segment=segment, batch=batch, cooling=cooling)
    done = [r for r in _read(cache) if r["budget"] == asdict(budget)]
    for seed in range(first_seed, first_seed + seeds):
        for name in METHODS:
            if any(r["method"] == name and r["seed"] == seed for r in done):
                continue
            if methods and name not in methods:
                continue
            records = run_method(name, budget, seed)
            done += records
            for record in records:
                print(f"{record['method']:34} seed {seed}: {record['loss']:.4f}", flush=True)
            if cache is not None:
                with cache.open("a") as file:
                    file.writelines(json.dumps(record) + "\n" for record in records)
    print(_table(done, budget))


def _read(cache: Path | None) -> list[dict[str, Any]]:
    if cache is None or not cache.exists():
        return []
    return [json.loads(line) for line in cache.read_text().splitlines()]


def _table(records: list[dict[str, Any]], budget: Budget) -> str:
    losses: dict[str, dict[int, float]] = {}
    for record in records:
        losses.setdefault(record["method"], {})[record["seed"]] = record["loss"]
    lines = [
        f"{TITLES[budget.task]}; {budget.total} steps of {budget.batch} rows a method, "
        f"{budget.population} members, segments of {budget.segment} steps; "
        f"CPU, {torch.get_num_threads()} thread",
        "",
        "| method | loss | - RecurrenceSampler [95 %] | ratio | seeds | steps, longest training |",
        "|---|---|---|---|---|---|",
    ]
    own = losses.get("RecurrenceSampler", {})
    for name, by_seed in losses.items():
        both = sorted(by_seed.keys() & own.keys())
        differences = np.array([by_seed[seed] - own[seed] for seed in both])
        ratio = np.mean([by_seed[seed] / own[seed] for seed in both]) if both else math.nan
        mine = [r for r in records if r["method"] == name]
        steps = max(r["steps"] for r in mine)
        depth = round(np.mean([r["depth"] for r in mine]))
        lines.append(
            f"| {name} | {np.mean(list(by_seed.values())):.3f} | {_interval(differences)} | "
            f"{ratio:.3f} | {len(by_seed)} | {steps}, {depth} |"
        )
    return "\n".join(lines)


def _interval(differences: np.ndarray[Any, Any]) -> str:
    """Return mean and 95 % interval of paired differences by Student's t."""
    if len(differences) < 2 or not differences.any():
        return ""
    mean, error = differences.mean(), stats.sem(differences)
    low, high = stats.t.interval(0.95, len(differences) - 1, loc=mean, scale=error)
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()

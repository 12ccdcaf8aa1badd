"""The published headline again: the evolved rule beside SGD, RMSprop, Adam and AdamW.

    python -m tests.benchmarks.headline --out DIR [--device cuda] [--jobs 6] [--augment]
        [--steps 1000] [--seeds 3] [--tuning-trials 16] [--budget 400] [--data-dir DATA]

"Evolving Deep Learning Optimizers" (arXiv:2512.11853) reports, over 1,000 steps and 3 seeds on
MNIST, Fashion-MNIST and CIFAR-10, a fitness of 0.8987 for its winner and 0.8775 for Adam.
Here every optimizer trains the same models on the same rows with the same seeds. Fitness is
accuracy + 0.05 max(0, 1 - mean loss of the last 50 steps); its accuracy is that on validation rows
here and on the official test rows there: both are in the tables. Tuned baselines
have the best of so many configurations (learning rates on a grid, constant or warm-up and cosine),
chosen on validation fitness with another seed and one configuration for all tasks.

Each training is one line of DIR/trainings.jsonl: the same command goes on where it was stopped.
After the budget (seconds) no training is begun, and the tables are over what is complete.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
import json
import math
from multiprocessing import get_context
import os
from pathlib import Path
import time
from typing import Any

import click
import numpy as np

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import TrainingConfig
from optuna_evo.evaluation import Interval


TASKS = ("fashion_mnist", "cifar10", "mnist")
TUNING_SEED = 100
PUBLISHED = {  # overall, Fashion-MNIST, CIFAR-10, MNIST
    "published winner": (0.8987, 0.9493, 0.7080, 1.0387),
    "Adam": (0.8775, 0.9296, 0.6669, 1.0360),
    "AdamW": (0.8698, 0.9283, 0.6453, 1.0358),
    "RMSprop": (0.8546, 0.9304, 0.5980, 1.0353),
    "SGD with momentum": (0.7596, 0.8250, 0.4642, 0.9896),
}
DEFAULTS: Mapping[str, Genome] = {
    # as its code has it: 100 steps of warm-up whatever the length
    "published winner": replace(catalog["published_2025"], horizon=None),
    "SGD with momentum": catalog["momentum"],
    "Adam": catalog["adam"],
    "AdamW": catalog["adamw"],
    "RMSprop": catalog["rmsprop"],
    "RMSprop, lr 0.001": replace(catalog["rmsprop"], lr=1e-3),
}
RANGES = {
    "SGD with momentum": (1e-3, 1.0),
    "Adam": (1e-4, 1e-1),
    "AdamW": (1e-4, 1e-1),
    "RMSprop": (1e-5, 1e-2),
}

Key = tuple[str, str, int]  # row, task, seed


def candidates(name: str, n: int, steps: int) -> list[Genome]:
    """Return n configurations of a baseline: its default, and a grid of rates by two schedules."""
    low, high = RANGES[name]
    half = max(1, n // 2)
    rates = np.exp(np.linspace(math.log(low), math.log(high), half)).tolist()
    decaying = {"use_warmup": True, "warmup_steps": steps // 20, "use_cosine_decay": True}
    genomes = [replace(DEFAULTS[name], lr=lr, **decaying) for lr in rates]
    constant = [replace(DEFAULTS[name], lr=lr) for lr in rates[: max(0, n - half - 1)]]
    return [DEFAULTS[name], *genomes, *constant][:n]


def train(key: Key, genome: Genome, options: Mapping[str, Any]) -> dict[str, Any]:
    """Train once; return accuracies, loss and seconds."""
    import torch

    from optuna_evo import tasks
    from optuna_evo import trainers

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    row, name, seed = key
    task = tasks.get(name, augment=True) if options["augment"] else tasks.get(name)
    began = time.perf_counter()
    cohort = trainers.start(
        [TrainingConfig(genome=genome)],
        task,
        seed=seed,
        total_steps=options["steps"],
        device=options["device"],
        precision=options["precision"],
        data_dir=options["data_dir"],
        trainer="sequential",
    )
    cohort.train(options["steps"])
    valid, loss = cohort.evaluate()[0], cohort.losses()[0]
    seconds = time.perf_counter() - began
    test = cohort.evaluate(task.load_test(options["data_dir"]))[0] if seed != TUNING_SEED else None
    return {
        "row": row,
        "task": name,
        "seed": seed,
        "valid": valid,
        "test": test,
        "loss": loss,
        "seconds": seconds,
        "genome": genome.to_dict(),
    }


def fitness(record: Mapping[str, Any], split: str = "valid") -> float:
    """Return the published fitness of a training; -1 if it diverged."""
    accuracy, loss = record[split], record["loss"]
    if accuracy is None or not math.isfinite(accuracy) or not math.isfinite(loss):
        return -1.0
    return float(accuracy + 0.05 * max(0.0, 1.0 - loss))


class Lab:
    """Trainings, those of the file and those to be done."""

    def __init__(self, out: Path, options: Mapping[str, Any], jobs: int, budget: float) -> None:
        self.file = out / "trainings.jsonl"
        self.options = options
        self.ends = time.monotonic() + budget
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.known: dict[Key, dict[str, Any]] = {}
        for record in map(json.loads, lines):
            self.known[record["row"], record["task"], record["seed"]] = record
        self._pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))

    def run(self, wanted: Mapping[Key, Genome]) -> None:
        """Do what is not known yet, until the budget is spent."""
        futures = {
            self._pool.submit(
                _train_until, key, genome, self.options, self.ends - time.monotonic()
            )
            for key, genome in wanted.items()
            if key not in self.known
        }
        for n, future in enumerate(as_completed(futures), start=1):
            record = future.result()
            if record is None:
                continue
            with self.file.open("a") as stream:
                stream.write(json.dumps(record) + "\n")
            self.known[record["row"], record["task"], record["seed"]] = record
            print(
                f"{n}/{len(futures)} {record['row']} {record['task']} {record['seed']}: "
                f"{fitness(record):.4f}, {record['seconds']:.1f} s",
                flush=True,
            )

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


_ENDS: dict[str, float] = {}


def _train_until(
    key: Key, genome: Genome, options: Mapping[str, Any], left: float
) -> dict[str, Any] | None:
    # what is left was counted when the job was queued: the first job of a process starts its clock
    ends = _ENDS.setdefault("at", time.monotonic() + left)
    return None if time.monotonic() > ends else train(key, genome, options)


def row_of(lab: Lab, row: str, seeds: int, split: str) -> dict[str, list[float]] | None:
    """Return the fitness by task of a row; None if a training is missing."""
    found: dict[str, list[float]] = {}
    for task in TASKS:
        records = [lab.known.get((row, task, seed)) for seed in range(seeds)]
        if None in records:
            return None
        found[task] = [fitness(record, split) for record in records if record is not None]
    found["overall"] = np.mean([found[task] for task in TASKS], axis=0).tolist()
    return found


def table(lab: Lab, rows: Sequence[str], seeds: int, split: str) -> list[str]:
    """Return the lines of a Markdown table, the best overall first."""
    values = {row: row_of(lab, row, seeds, split) for row in rows}
    whole = {row: value for row, value in values.items() if value is not None}
    winner = whole.get("published winner")
    lines = [
        "| optimizer | overall fitness | − published winner, paired | Fashion-MNIST | CIFAR-10 "
        "| MNIST | published |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(whole, key=lambda name: -np.mean(whole[name]["overall"])):
        difference = ""
        if winner is not None and row != "published winner":
            pairs = zip(whole[row]["overall"], winner["overall"], strict=True)
            difference = _shown([a - b for a, b in pairs], sign=True)
        cells = [_shown(whole[row][key]) for key in ("overall", *TASKS)]
        there = f"{PUBLISHED[row][0]:.4f}" if row in PUBLISHED else ""
        lines.append(f"| {row} | {cells[0]} | {difference} | {' | '.join(cells[1:])} | {there} |")
    return lines


def _shown(values: Sequence[float], *, sign: bool = False) -> str:
    interval = Interval.of(values)
    return f"{interval.mean:{'+' if sign else ''}.4f} ± {interval.half_width:.4f}"


def tuned(lab: Lab, name: str, n: int, steps: int) -> tuple[Genome, int] | None:
    """Return the best of the configurations that have all their trainings, and how many have."""
    scores: list[tuple[float, Genome]] = []
    for k, genome in enumerate(candidates(name, n, steps)):
        records = [lab.known.get((f"{name} / {k}", task, TUNING_SEED)) for task in TASKS]
        if None not in records:
            mean = float(np.mean([fitness(r) for r in records if r is not None]))
            scores.append((mean, genome))
    if not scores:
        return None
    return max(scores, key=lambda pair: pair[0])[1], len(scores)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", default="float32", show_default=True)
@click.option("--jobs", default=1, show_default=True)
@click.option("--steps", default=1_000, show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--tuning-trials", default=16, show_default=True, help="0: no tuned rows.")
@click.option("--augment", is_flag=True, help="Light augmentation on all three tasks.")
@click.option("--budget", default=1e9, help="Seconds after which no training is begun.")
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
def main(
    out: Path,
    device: str,
    precision: str,
    jobs: int,
    steps: int,
    seeds: int,
    tuning_trials: int,
    augment: bool,
    budget: float,
    data_dir: Path | None,
) -> None:
    """Do the trainings that are missing and write the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    options = {
        "device": device,
        "precision": precision,
        "steps": steps,
        "augment": augment,
        "data_dir": data_dir,
    }
    lab = Lab(out, options, jobs, budget)
    lab.run({(r, t, s): g for r, g in DEFAULTS.items() for t in TASKS for s in range(seeds)})
    rows = list(DEFAULTS)
    if tuning_trials:
        lab.run(
            {
                (f"{name} / {k}", task, TUNING_SEED): genome
                for name in RANGES
                for k, genome in enumerate(candidates(name, tuning_trials, steps))
                for task in TASKS
            }
        )
        found = {name: tuned(lab, name, tuning_trials, steps) for name in RANGES}
        labels = {}
        for name, best in found.items():
            if best is not None:
                genome, n = best
                schedule = "warm-up + cosine" if genome.use_cosine_decay else "constant"
                labels[f"{name}, best of {n}: lr {genome.lr:.2g}, {schedule}"] = genome
        lab.run({(r, t, s): g for r, g in labels.items() for t in TASKS for s in range(seeds)})
        rows += list(labels)
    lab.close()
    what = f"{steps} steps, {seeds} seeds, {device}, {precision}"
    what += ", light augmentation" if augment else ""
    lines = [f"Fitness with validation accuracy; {what}:", "", *table(lab, rows, seeds, "valid")]
    lines += ["", "With accuracy on official test images, as published:", ""]
    lines += table(lab, rows, seeds, "test")
    lines += ["", f"{time.monotonic() - began:.0f} seconds, {jobs} processes."]
    (out / "headline.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {row: {s: row_of(lab, row, seeds, s) for s in ("valid", "test")} for row in rows}
    (out / "headline.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

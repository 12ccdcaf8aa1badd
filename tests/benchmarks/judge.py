"""The judge judged: a reversal that it must find, a better optimizer, and one that is no better.

    python -m tests.benchmarks.judge --out DIR [--tasks 48] [--steps 1000] [--repetitions 20]

Reversal: on held-out tasks (an MLP on scikit-learn's digits, its pixels and labels permuted, its
contrast and the scale of its weights drawn anew for each task) the published winner of 2025, as it
was published, against Adam as it is usually used and against Adam tuned over --budget trials.
Untuned Adam must lose to the published winner, and tuned Adam must win.

Controls: AdamW tuned against the same AdamW at a thirtieth of its learning rate must win. AdamW
against itself, either tuned over trials of its own (--tunings times), in so many repetitions on
tasks of their own, should be called better at most twice in 20; and so should it with one tuning
for both, tested with other seeds.

All contestants are genomes, so that tuning trains them in stacks. Trainings are stored in DIR: the
same command goes on where it was stopped.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from pathlib import Path
import time
from typing import Any

import click
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo.evaluation import better
from optuna_evo.evaluation import Contestant
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import judge
from optuna_evo.evaluation import Judgement
from optuna_evo.evaluation import Paired
from optuna_evo.evaluation import sign_flip
from optuna_evo.evaluation import Workload
from optuna_evo.evaluation._contestant import log
from optuna_evo.search import open_storage
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task


HELD_OUT = 90_000  # first seed of the tasks: no search and no meta-training has drawn from here
_WIDTH = 32


def held_out(number: int) -> Task:
    """Return a task of the family by its number."""
    random = torch.Generator().manual_seed(HELD_OUT + number)
    pixels = torch.randperm(64, generator=random)
    labels = torch.randperm(10, generator=random)
    contrast, scale = (float(2 ** (2 * torch.rand((), generator=random) - 1)) for _ in range(2))
    digits = tasks.get("digits")

    def moved(split: Split) -> Split:
        return Split(contrast * split.inputs[:, pixels], labels[split.targets])

    def load(data_dir: Path | None = None) -> Splits:
        splits = digits.load(data_dir)
        return Splits(moved(splits.train), moved(splits.valid), splits.source)

    def build_model() -> nn.Module:
        model = nn.Sequential(nn.Linear(64, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 10))
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(scale)
        return model

    return dataclasses.replace(
        digits,
        name=f"held_out_{number}",
        build_model=build_model,
        load=load,
        load_test=lambda data_dir: moved(digits.load_test(data_dir)),
    )


@functools.cache
def workload(number: int, steps: int) -> Workload:
    """Return a task of the family at a number of steps."""
    return Workload(name=f"held_out_{number}", task=held_out(number), steps=steps)


def fixed(key: str, genome: Genome) -> Contestant:
    """Return a contestant that is taken as it is."""
    return Contestant(
        key=key,
        label=key,
        build=lambda params, workload: genome,
        space={},
        defaults={},
        schedules=("own",),
    )


def tuned(key: str, genome: Genome) -> Contestant:
    """Return a contestant whose learning rate and schedule are tuned."""
    return Contestant(
        key=key,
        label=key,
        build=lambda params, workload: dataclasses.replace(genome, lr=params["lr"]),
        space={"lr": log(1e-4, 1e-1)},
        defaults={"lr": genome.lr},
    )


Judge = Callable[..., Judgement]


def reversal(run: Judge, n_tasks: int, steps: int, budget: int) -> list[str]:
    """Return the lines of the table."""
    adam = catalog["adam"]
    found = run(
        fixed("published winner", dataclasses.replace(catalog["published_2025"], horizon=None)),
        [workload(i, steps) for i in range(n_tasks)],
        against=[fixed("Adam untuned", adam), tuned("Adam tuned", adam)],
        budget=budget,
        seeds=1,
        name="reversal",
    )
    lines = ["| optimizer | test loss | published winner minus it | better |", "|---|---|---|---|"]
    for line in found.main.lines(found.sets["search"]):
        lines.append(
            f"| {line.row.label} | {shown(line.loss)} | "
            f"{shown(line.difference.difference) if line.difference else ''} | "
            f"{line.verdict.answer if line.verdict is not None else ''} |"
        )
    return lines


def known_better(run: Judge, n_tasks: int, steps: int) -> list[str]:
    """Return the lines of the comparison of tuned AdamW with its thirtieth."""
    on = [workload(1000 + i, steps) for i in range(n_tasks)]
    adamw = catalog["adamw"]
    first = run(
        tuned("AdamW", adamw), on[:1], against=[fixed("Adam", adamw)], budget=16, seeds=2,
        name="better, tuning",
    )  # fmt: skip
    best: Any = first.main.judged.tuned[on[0].name].optimizer
    found = run(
        fixed("AdamW tuned", best),
        on,
        against=[fixed("AdamW, lr / 30", dataclasses.replace(best, lr=best.lr / 30))],
        budget=1,
        seeds=10,
        name="better",
    )
    (_, line) = found.main.lines(found.sets["search"])
    assert line.difference is not None and line.verdict is not None
    return [f"Tuned AdamW minus AdamW at lr / 30: {shown(line.difference.difference)}, "
            f"p {line.p_value:.4f}, better: {line.verdict.answer}"]  # fmt: skip


def no_better(run: Judge, repetitions: int, steps: int, tunings: int) -> list[str]:
    """Return how often an optimizer was called better than itself."""
    wins = losses = same_wins = same_losses = 0
    for i in range(repetitions):
        on = [workload(2000 + i, steps)]
        found = run(
            tuned("AdamW a", catalog["adamw"]),
            on,
            against=[tuned("AdamW b", catalog["adamw"])],
            budget=16,
            seeds=20,
            tunings=tunings,
            name=f"same {i}",
        )
        ours, theirs = found.main.rows
        (_, line) = found.main.lines(found.sets["search"])
        assert line.verdict is not None
        wins += line.verdict.answer == "yes"
        losses += line.verdict.answer == "no"
        # one tuning, and two halves of the seeds: what pairing cannot help
        values = [ours.losses[on[0].name, seed] for seed in range(20)]
        halves = [a - b for a, b in zip(values[:10], values[10:], strict=True)]
        pair = Paired(Interval.bootstrap(halves), sign_flip(halves), tuple(halves), "seed")
        same_wins += better(pair).answer == "yes"
        same_losses += better(pair).answer == "no"
    return [
        f"AdamW against itself, {repetitions} repetitions, {tunings} tunings: tuned apart, "
        f"called better {wins} times and worse {losses} times; tuned once and tested with other "
        f"seeds, better {same_wins} times and worse {same_losses} times."
    ]


def shown(interval: Interval) -> str:
    """Return an interval for a table."""
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


@click.command()
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--tasks", "n_tasks", default=48, show_default=True)
@click.option("--steps", default=1000, show_default=True)
@click.option("--budget", default=16, show_default=True, help="Trials that tune Adam.")
@click.option("--repetitions", default=20, show_default=True)
@click.option("--tunings", default=10, show_default=True, help="Of AdamW against itself.")
@click.option("--only", type=click.Choice(["reversal", "better", "same"]), multiple=True)
def main(
    out: Path,
    n_tasks: int,
    steps: int,
    budget: int,
    repetitions: int,
    tunings: int,
    only: Sequence[str],
) -> None:
    """Run what was asked for, and write DIR/judge.md."""
    out.mkdir(parents=True, exist_ok=True)
    storage = open_storage(f"sqlite:///{out / 'judge.db'}", create=True)
    run: Judge = functools.partial(
        judge,
        unseen=[],
        schedules=True,
        grafted=False,
        sensitivity=False,
        storage=storage,
    )
    parts = {
        "reversal": lambda: reversal(run, n_tasks, steps, budget),
        "better": lambda: known_better(run, 4, steps // 5),
        "same": lambda: no_better(run, repetitions, steps // 5, tunings),
    }
    text = ""
    for name, part in parts.items():
        if only and name not in only:
            continue
        started = time.monotonic()
        lines = [f"## {name}", "", *part(), "", f"{time.monotonic() - started:.0f} s", ""]
        text += "\n".join(lines) + "\n"
        print("\n".join(lines), flush=True)
        (out / "judge.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Whether a guarded controller keeps up with its fallback where nothing was meta-trained.

    python -m tests.benchmarks.learned_guard --controller random --controller FOLDER ...

Foreign tasks, a quarter each: small CNNs on digits, character language models, quadratics of
20 dimensions, digits MLPs whose tensors have other units (x 0.01 .. 100). Runs of 5 K = 500 steps.
The fallback is Adam, learning rate and schedule tuned for runs of that length on other tasks of
the same family (24 trials). "random" is an MLP controller with weights of its own for each task,
drawn from N(0, 1): it knows nothing.

For each way to guard: the ratios of the losses of single tasks to those of the fallback by itself,
on the rows by which the guard chooses, on training rows and on test rows: geometric mean, largest,
how many are above 1.05.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any
from typing import Literal

import click
import torch
from torch import Tensor

from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.learned import resolve
from optuna_evo.meta_training import adam_grid
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import constant_losses
from optuna_evo.meta_training import guarded_losses
from optuna_evo.meta_training import Guarding
from optuna_evo.meta_training import held_out_losses
from optuna_evo.meta_training import task_seeds
from optuna_evo.meta_training import tuned
from optuna_evo.rules import UpdateRule


FAMILIES: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]] = (
    ("digits_cnn", {}, None),
    ("characters", {}, None),
    ("quadratics", {"size": 20}, None),
    ("digits_mlp", {"width": 32}, {"low": 0.01, "high": 100.0, "per": "tensor"}),
)
LRS = tuple(0.0005 * 4**k for k in range(8))  # 0.0005 .. 8.192
GUARDS: Mapping[str, Guarding] = {
    "anchored": Guarding(),
    "anchored, margin 0.05": Guarding(margin=0.05),
    "anchored, by training rows": Guarding(split="train"),
    "shared": Guarding(anchored=False),
    "shared, margin 0.05": Guarding(anchored=False, margin=0.05),
    "shared, by training rows": Guarding(anchored=False, split="train"),
}
SPLITS: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")
BOUND = 1.05
LEAST = 1e-9  # nats that are nothing: added to both losses of a ratio


@click.command()
@click.option("--controller", "names", multiple=True, help="Name, folder or random; repeatable.")
@click.option("--family", "families", multiple=True, type=click.Choice([f[0] for f in FAMILIES]))
@click.option("--guard", "chosen", multiple=True, type=click.Choice([*GUARDS]))
@click.option("--tasks", "n_tasks", default=64, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first test task.")
@click.option("--steps", default=500, show_default=True)
@click.option("--tune-tasks", default=8, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where ratios are appended, JSON.")
@click.option("--tables", is_flag=True, help="Print the table of what is in OUT.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(
    names: tuple[str, ...],
    families: tuple[str, ...],
    chosen: tuple[str, ...],
    n_tasks: int,
    first: int,
    steps: int,
    tune_tasks: int,
    out: Path | None,
    tables: bool,
    device: str,
    threads: int,
) -> None:
    """Train, print one table."""
    torch.set_num_threads(threads)
    records = [json.loads(line) for line in out.read_text().splitlines()] if tables and out else []
    for family_name, options, units in () if tables else FAMILIES:
        if families and family_name not in families:
            continue
        family = build_family(family_name, options, reparametrise=units)
        tuning = family.sample(task_seeds("tune", tune_tasks), device)
        grid = adam_grid(LRS, total_steps=steps)
        genome = tuned(tuning, grid, steps=steps, split="train").genome
        seeds = task_seeds("test", n_tasks // len(FAMILIES), first=first)
        tasks = family.sample(seeds, device)
        how: dict[str, Any] = {"marks": [steps], "total_steps": steps, "splits": SPLITS}
        alone = constant_losses(tasks, genome, **how)
        for name in names:
            for guard in ["unguarded", *(chosen or GUARDS)]:
                rule = rule_of(name, seeds, device)
                found = (
                    held_out_losses(rule, tasks, **how)
                    if guard == "unguarded"
                    else guarded_losses(rule, genome, tasks, guarding=GUARDS[guard], **how)
                )
                losses = {split: found[split][0].tolist() for split in SPLITS}
                record = {
                    "family": family_name,
                    "controller": name.rstrip("/").rpartition("/")[2],
                    "guard": guard,
                    "lr": genome.lr,
                    "losses": losses,
                    "alone": {split: alone[split][0].tolist() for split in SPLITS},
                }
                records.append(record)
                click.echo("| " + " | ".join([family_name, *cells([record])]) + " |")
                if out is not None:
                    with out.open("a") as file:
                        file.write(json.dumps(record) + "\n")
    print("\n| tasks | controller | guard | train | valid | test |\n|---|---|---|---|---|---|")
    for name, guard in dict.fromkeys((r["controller"], r["guard"]) for r in records):
        own = [r for r in records if (r["controller"], r["guard"]) == (name, guard)]
        print("| " + " | ".join(["all", *cells(own)]) + " |")


def cells(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cells of records of one controller and guard."""
    found = []
    for split in SPLITS:
        ratios = []
        for record in records:
            ours, theirs = (torch.tensor(record[key][split]) for key in ("losses", "alone"))
            ratios.append((ours + LEAST) / (theirs + LEAST))
        found.append(summary(torch.cat(ratios)))
    return [records[0]["controller"], records[0]["guard"], *found]


def rule_of(name: str, seeds: Sequence[int], device: str) -> UpdateRule:
    """Return the controller's rule; of "random" weights for each task, by its seed."""
    if name != "random":
        return ControllerRule(resolve(name))
    drawn = []
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        shapes = MLPController().named_parameters()
        drawn.append({n: torch.randn(p.shape, generator=random).to(device) for n, p in shapes})
    weights = {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}
    return ControllerRule(MLPController(), weights=weights)


def summary(ratio: Tensor) -> str:
    """Return geometric mean, largest, and how many are above the bound."""
    over = int((ratio > BOUND).sum())
    middle = float(ratio.log().mean().exp())
    return f"{middle:.3f}, max {float(ratio.max()):.3g}, {over}/{len(ratio)} > {BOUND}"


if __name__ == "__main__":
    main()

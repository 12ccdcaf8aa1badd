"""Whether learned optimizers keep their promises: held-out tasks, beside Adam tuned elsewhere.

    python -m tests.benchmarks.learned --kind mlp [--controller FOLDER] [--tasks 64] [--only NAME]

For each line of a kind: a task family, the length K of runs, how Adam was tuned (learning rate and
schedule, 36 trials, or AdamW with warm-up and cosine, learning rate and decay, 48 trials, each on
32 tasks of its own for runs of that length), the mean losses, their ratio with the 95 % interval
of a paired bootstrap, the paired difference with its 95 % interval, and whether the goal is met.
A kind plugs in by its lines in `LINES`, its controller by name or folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import json
import math
from typing import Any

import click
import torch

from optuna_evo.learned import resolve
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import evaluate
from optuna_evo.meta_training import Evaluation
from optuna_evo.meta_training import Guarding
from optuna_evo.meta_training import tuned_baselines


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that is asked of a kind.

    Args:
        name: What it is called.
        family: Task family, options beside its name.
        steps: K, the length of runs.
        mark: The step that is looked at; None: K.
        split: Which loss.
        of: "controller", or a guarded one by a name in `GUARDS`.
        against: "adam" or "adamw" as tuned, or "untrained".
        at_most: Goal for the ratio of mean losses; None: only that the interval of the paired
            difference lies below 0.
    """

    name: str
    family: Mapping[str, Any]
    steps: int = 100
    mark: int | None = None
    split: str = "train"
    of: str = "controller"
    against: str = "adam"
    at_most: float | None = None
    reparametrise: Mapping[str, Any] | None = field(default=None)


MLP = {"name": "digits_mlp", "width": 32}
WIDE = {"name": "digits_mlp", "width": 64}
QUADRATICS = {"name": "quadratics", "size": 10}
NOISY = {"name": "quadratics", "size": 10, "noise": 0.5, "density": 0.2}
HEADED = {"name": "digits_mlp", "width": 32, "zero_head": True}
SCALES = {"low": 0.01, "high": 100.0, "per": "tensor", "loss": [0.001, 1000.0]}

DIGITS = (
    Line(name="digits at K", family=MLP, at_most=0.6),
    Line(name="width x 2 at K", family=WIDE, at_most=0.8),
    Line(name="test loss at K", family=MLP, split="test", against="adamw"),
    Line(name="against its base", family=MLP, against="untrained"),
)
# Guarded by Adam as tuned for runs of this length.
GUARDS = {
    "guarded": Guarding(),
    "guarded by training rows": Guarding(split="train"),
    "guarded, both from the better": Guarding(anchored=False),
}
FAR = (
    Line(name="digits at 5 K", family=MLP, steps=500),
    *(
        Line(name=f"{of}, {split}", family=MLP, steps=500, of=of, split=split, at_most=1.0)
        for of in GUARDS
        for split in ("train", "test")
    ),
)
LINES: Mapping[str, tuple[Line, ...]] = {
    "mlp": (*DIGITS, *FAR),
    "hybrid": (*DIGITS, *FAR),
    "lstm": (
        Line(name="quadratics at 25", family=QUADRATICS, mark=25, at_most=0.5),
        Line(name="quadratics at 100", family=QUADRATICS, at_most=0.95),
        Line(name="20 dimensions at 100", family=QUADRATICS | {"size": 20}),
        Line(name="quadratics at 500", family=QUADRATICS, steps=500),
    ),
    "transformer": (Line(name="scales differ", family=HEADED, reparametrise=SCALES), *FAR),
    "graph": (Line(name="width 32", family=MLP), Line(name="width 64", family=WIDE), *FAR),
    "memory": (
        Line(name="sparse, noisy, against base", family=NOISY, against="untrained"),
        Line(name="sparse, noisy, against Adam", family=NOISY),
    ),
}
HEAD = (
    "line",
    "K",
    "at",
    "loss",
    "controller",
    "against",
    "",
    "ratio",
    "95 %",
    "geometric",
    "difference",
    "",
)


@click.command()
@click.option("--kind", type=click.Choice(sorted(LINES)), default="mlp", show_default=True)
@click.option("--controller", help="Name or folder. [default: the kind's name]")
@click.option("--rival", help="Another controller to compare with: an ablation, by its folder.")
@click.option("--tasks", "n_tasks", default=64, show_default=True)
@click.option("--only", multiple=True, help="Lines; default: all of the kind.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(
    kind: str,
    controller: str | None,
    rival: str | None,
    n_tasks: int,
    only: tuple[str, ...],
    device: str,
    threads: int,
) -> None:
    """Print one table."""
    torch.set_num_threads(threads)
    found = resolve(controller or kind)
    lines = [line for line in LINES[kind] if not only or line.name in only]
    known: dict[str, Evaluation] = {}
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    for line in lines:
        key = key_of(line)
        if key not in known:
            alike = [each for each in lines if key_of(each) == key]
            needed = {each.against for each in alike}
            options = dict(line.family)
            family = build_family(options.pop("name"), options, reparametrise=line.reparametrise)
            known[key] = evaluate(
                found,
                family,
                steps=line.steps,
                marks=sorted({25, 50, line.steps // 2, line.mark or line.steps}),
                n_tasks=n_tasks,
                baselines=tuned_baselines(
                    family, steps=line.steps, names=needed | {"adam"}, device=device
                ),
                guards={each.of: GUARDS[each.of] for each in alike if each.of in GUARDS},
                rivals={"rival": resolve(rival)} if rival else {},
                device=device,
            )
        print(row(line, known[key]), flush=True)
        if rival:
            print(row(replace(line, against="rival", at_most=None), known[key]), flush=True)
    for key, evaluation in known.items():
        print(f"\n{key}")
        for name, losses in evaluation.losses.items():
            for split, values in losses.items():
                means = ", ".join(f"{x:.4g}" for x in values.mean(1).tolist())
                print(f"  {name:<11}{split:<6} at {list(evaluation.marks)}: {means}")
        for name, genome in evaluation.genomes.items():
            schedule = ["constant", "cosine"][genome.use_cosine_decay]
            warm = " after a warm-up" if genome.use_warmup else ""
            print(f"  {name}: lr {genome.lr:g}, {schedule}{warm}, decay {genome.weight_decay:g}")


def key_of(line: Line) -> str:
    """Return what lines of one evaluation share."""
    return json.dumps([line.family, line.reparametrise, line.steps], sort_keys=True)


def row(line: Line, evaluation: Evaluation) -> str:
    """Return a line of the table."""
    mark = line.mark or line.steps
    found = evaluation.compare(line.against, mark, line.split, of=line.of)  # type: ignore[arg-type]
    is_met = found.is_better if line.at_most is None else found.ratio <= line.at_most
    goal = "below" if line.at_most is None else f"<= {line.at_most}"
    verdict = "yes" if is_met else "no"
    low, high = found.ratio_interval
    low_d, high_d = found.difference_interval
    cells = [
        line.name,
        str(line.steps),
        str(mark),
        line.split,
        f"{found.mean:.4g}",
        line.against,
        f"{found.other_mean:.4g}",
        f"{found.ratio:.3f}",
        f"{low:.3f}..{high:.3f}" if math.isfinite(low) else "-",
        "{:.3f} ({:.3f}..{:.3f})".format(found.geometric, *found.geometric_interval),
        f"{found.difference:+.4f} ({low_d:+.4f}..{high_d:+.4f})",
        f"{goal}: {verdict}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

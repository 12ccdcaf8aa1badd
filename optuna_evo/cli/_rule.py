"""`optuna_evo optimizer show` for files and studies, and `optuna_evo optimizer simplify`."""

from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import run_options
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._stored import find_spec
from optuna_evo.cli._stored import load_stored
from optuna_evo.errors import UsageError
from optuna_evo.files import write_text
from optuna_evo.names import printable
from optuna_evo.names import quoted


if TYPE_CHECKING:
    from optuna_evo.config import OptimizerConfig
    from optuna_evo.objectives import FitnessObjective
    from optuna_evo.rules import Genome

__all__ = ["optimizer_simplify", "show_rule"]

_TASKS, _STEPS = "digits", 300  # of a rule that was evolved for no length


def show_rule(source: str, storage: str | None, figure: Path | None) -> bool:
    """Print the equation of a file's or a study's optimizer, and what is said of it.

    Returns:
        Whether there is such a file or study.
    """
    from optuna_evo.config import read_rule_file
    from optuna_evo.study import best_optimizer
    from optuna_evo.study import best_trial

    is_file = Path(source).is_file()
    spec = None if is_file else find_spec(source, storage)
    if not is_file and spec is None:
        return False
    if figure is not None:
        raise UsageError("`--figure` goes with a learned optimizer, not with an update rule.")
    if spec is None:
        found = read_rule_file(Path(source))
        _print_rule(found.equation, {**_facts(found.optimizer), **found.facts})
        return True
    stored = load_stored(source, storage)
    best, optimizer = best_trial(stored), best_optimizer(stored)
    facts: dict[str, Any] = {
        "study": spec.name,
        "trial": best.number,
        "value": f"{best.value:.6g} ({spec.objective.name}, {spec.direction})",
        "tasks": ", ".join(spec.tasks),
        "steps": spec.trainer.steps,
    }
    _print_rule(optimizer.equation(), {**_facts(optimizer), **facts})
    click.echo(
        printable(
            f"\nWrite it: optuna_evo study export {quoted(spec.name)} -o rule.py; "
            f"take out what it does not need: optuna_evo optimizer simplify {quoted(spec.name)}"
        )
    )
    return True


def _print_rule(equation: str, facts: dict[str, Any]) -> None:
    for line in equation.splitlines():
        click.echo(printable(line))
    click.echo()
    width = max(map(len, facts), default=0) + 2
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        click.echo(printable(f"{key:<{width}}{shown}"))


def _facts(optimizer: "OptimizerConfig | None") -> dict[str, Any]:
    from optuna_evo.rules import Genome

    if optimizer is None:
        return {}
    if not isinstance(optimizer, Genome):
        return {"kind": type(optimizer).__name__, "fingerprint": optimizer.fingerprint()}
    needs = sorted(optimizer.rule.needs)
    facts: dict[str, Any] = {
        "kind": "update rule",
        "averages": f"{', '.join(needs) or 'none'}: {4 * len(needs)} bytes a weight",
        "evolved for": f"{optimizer.horizon} steps" if optimizer.horizon else "any length",
        "fingerprint": optimizer.fingerprint(),
    }
    return facts


@click.command("simplify", short_help="Drop what a rule does not need, with the evidence.")
@click.argument("source", metavar="FILE_OR_STUDY")
@click.option(
    "--tasks", help=f"Tasks to value it by, with commas. [default: the study's, or {_TASKS}]"
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help=f"Steps of a training. [default: the study's, the rule's own horizon, or {_STEPS}]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=5),
    default=16,
    show_default=True,
    help="Fresh seeds of each round.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True),
    default=0.005,
    show_default=True,
    help="Fitness that each step may cost: 0.005 is half a point of accuracy.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the simpler rule to: .json, or .py for an optimizer in one file.",
)
@storage_option
@run_options
def optimizer_simplify(
    source: str,
    tasks: str | None,
    steps: int | None,
    seeds: int,
    margin: float,
    out: Path | None,
    storage: str | None,
    device: str,
    data_dir: Path | None,
) -> None:
    """Drop, one by one, the terms and flags of an update rule that its fitness does not need.

    In each round all rules that lack one more thing are trained beside the rule as it stands, on
    seeds of their own. One is taken if a paired test, corrected for the number of looks, rules out
    that it is worse by the margin. At the end numbers are rounded.

    \b
    Examples:
      optuna_evo optimizer simplify digits_optimizer -o rule.json
      optuna_evo optimizer simplify rule.json --tasks digits,two_moons --steps 200 --seeds 20
    """
    import json

    from optuna_evo.evaluation import simplify
    from optuna_evo.reports import simplified_table
    from optuna_evo.rules import program

    if out is not None and out.suffix not in (".json", ".py"):
        raise UsageError(f"`--out` must end in .json or .py, got {str(out)!r}.")
    genome, objective = _rule_and_objective(source, storage, tasks, steps, device, data_dir)
    console = new_console()
    told = f"{', '.join(task.name for task in objective.tasks)}, {objective.steps} steps"
    click.echo(printable(f"On {told}, {seeds} seeds a round."), err=True)
    found = simplify(
        genome,
        objective,
        margin=margin,
        seeds=seeds,
        on_round=lambda number, n: click.echo(f"Round {number}: {n} rules.", err=True),
    )
    console.print(simplified_table(found))
    for line in found.genome.equation().splitlines():
        click.echo(printable(line))
    if out is not None:
        origin = printable(f"Simplified by optuna_evo from {source!r}.")
        rule = found.genome
        text = json.dumps(rule.to_dict(), indent=2) + "\n"
        write_text(out, program(rule, origin=origin) if out.suffix == ".py" else text)
        click.echo(printable(f"Wrote {out}."))


def _rule_and_objective(
    source: str,
    storage: str | None,
    tasks: str | None,
    steps: int | None,
    device: str,
    data_dir: Path | None,
) -> "tuple[Genome, FitnessObjective]":
    from optuna_evo import tasks as task_registry
    from optuna_evo.config import read_rule_file
    from optuna_evo.objectives import build_tasks
    from optuna_evo.objectives import FitnessObjective
    from optuna_evo.objectives import pick_device
    from optuna_evo.rules import Genome
    from optuna_evo.study import best_optimizer

    optimizer: OptimizerConfig | None
    built, length, loss_weight, trainer = None, None, 0.05, "auto"
    if Path(source).is_file():
        optimizer = read_rule_file(Path(source)).optimizer
        if optimizer is None:
            raise UsageError(
                f"{source} was changed by hand since it was exported, and its code is not run "
                "here: simplify the .json of the same rule."
            )
    else:
        spec = find_spec(source, storage)
        if spec is None:
            raise UsageError(f"There is no file and no study {source!r}.")
        stored = load_stored(source, storage)
        optimizer = best_optimizer(stored)
        if tasks is None:
            built = build_tasks(spec)
        length = spec.trainer.steps
        loss_weight, trainer = spec.objective.loss_weight, spec.trainer.kind
    if not isinstance(optimizer, Genome):
        raise UsageError(f"{source} holds no update rule (a genome), and only those have terms.")
    names = [name.strip() for name in (tasks or _TASKS).split(",")]
    objective = FitnessObjective(
        tasks=built or [task_registry.get(name) for name in names],
        seeds=(0,),
        steps=steps or length or optimizer.horizon or _STEPS,
        device=pick_device(device),
        data_dir=data_dir,
        loss_weight=loss_weight,
        trainer=trainer,
    )
    return optimizer, objective

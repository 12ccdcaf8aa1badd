"""`optuna_evo optimizer ...`: meta-train controllers, and show those that there are."""

from collections.abc import Mapping
from pathlib import Path
import shlex
import sys
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._next import print_next_of_controllers
from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import SET
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._rule import optimizer_simplify
from optuna_evo.cli._rule import show_rule
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna_evo.learned import Controller

__all__ = ["optimizer"]


@click.group()
def optimizer() -> None:
    """Train learned optimizers; show and simplify update rules."""


optimizer.add_command(optimizer_simplify)


@optimizer.command("meta-train", short_help="Train a learned optimizer on small tasks.")
@click.argument("spec_file", metavar="SPEC", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the controller, which must not exist. [default: the spec's name]",
)
@SET
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Where inner trainings run: cpu, cuda, cuda:1. They are small: a GPU pays from some "
    "hundred pairs on.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of each process.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that share the stacks (outer.stacks); the result is the same.",
)
@click.option(
    "--outer-steps",
    type=click.IntRange(min=1),
    help="Stop after so many; the same command goes on. [default: outer.steps]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this time; the same command goes on.",
)
@click.option(
    "--start",
    metavar="CONTROLLER",
    help="Start from this controller, a name or a folder, in place of an untrained one.",
)
def optimizer_meta_train(
    spec_file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str,
    threads: int,
    workers: int,
    outer_steps: int | None,
    minutes: float | None,
    start: str | None,
) -> None:
    """Train the learned optimizer that the TOML file SPEC describes; go on if it was stopped.

    \b
    Examples:
      optuna_evo optimizer meta-train studies/learned_optimizer.toml
      optuna_evo optimizer meta-train SPEC.toml --out mine --workers 2 --set outer.steps=1000
    """
    import torch

    from optuna_evo.meta_training import load_meta_spec
    from optuna_evo.meta_training import meta_train
    from optuna_evo.meta_training import state_folder
    from optuna_evo.reports import MetaProgress

    spec = load_meta_spec(spec_file, overrides=overrides)
    place = out or Path(spec.name)
    torch.set_num_threads(threads)
    console = new_console()
    with MetaProgress(spec.outer.steps, console=console) as progress:
        meta_train(
            spec,
            place,
            device=device,
            workers=workers,
            outer_steps=outer_steps,
            minutes=minutes,
            start=start,
            listener=progress,
            command=shlex.join(["optuna_evo", *sys.argv[1:]]),
        )
    click.echo(printable(f"Wrote the controller {place}: {progress.summary()}"))
    if state_folder(place).exists():
        click.echo(
            printable(
                f"It is not at its end: without a limit, the same command goes on to "
                f"{spec.outer.steps} outer steps."
            )
        )
    print_next_of_controllers("meta-train", str(place))


@optimizer.command("show", short_help="Show an optimizer: its equation, how it was made.")
@click.argument("controller", metavar="OPTIMIZER")
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG file to draw to: learning curves, learning rates and mixes of each tensor.",
)
@click.option(
    "--family", help="Task family of the figure. [default: it was trained on, or digits]"
)
@click.option(
    "--steps", type=click.IntRange(min=1), help="Length of its runs. [default: as trained, or 100]"
)
@click.option(
    "--tasks", type=click.IntRange(min=1), default=4, show_default=True, help="How many tasks."
)
@storage_option
def optimizer_show(
    controller: str,
    figure: Path | None,
    family: str | None,
    steps: int | None,
    tasks: int,
    storage: str | None,
) -> None:
    """Show OPTIMIZER: a learned one, by its name in the package or its folder, or an update rule.

    An update rule is a file that `study export` wrote (.json, .py; nothing of it is run), or the
    best of a study.

    \b
    Examples:
      optuna_evo optimizer show mlp
      optuna_evo optimizer show ./mine --figure mine.png
      optuna_evo optimizer show rule.json
      optuna_evo optimizer show digits_optimizer
    """
    from optuna_evo.learned import controllers
    from optuna_evo.learned import provenance_of
    from optuna_evo.learned import resolve

    is_learned = controller in controllers or Path(controller).is_dir()
    if not is_learned and show_rule(controller, storage, figure):
        return
    found = resolve(controller)
    folder = controllers.folder(controller) if controller in controllers else Path(controller)
    made = provenance_of(folder)
    n_parameters = sum(p.numel() for p in found.parameters())
    rows: dict[str, object] = {
        "kind": found.kind,
        "meta-parameters": n_parameters,
        "mixes": ", ".join(found.mixes) or "–",
        "needs total_steps": "yes" if found.needs_total_steps else "no",
        "a direction for each parameter": "yes" if found.has_direction else "no",
    }
    own = {k: v for k, v in found.settings.items() if k not in ("genome", "mixes")}
    rows |= {f"  {key}": value for key, value in own.items()}
    rows |= {
        k: v
        for k, v in made.items()
        if k not in ("figures", "spec", "params") and v not in ("", None)
    }
    rows |= {f"  {key}": value for key, value in _figures(made).items()}
    width = max(map(len, rows)) + 2
    for key, value in rows.items():
        click.echo(printable(f"{key:<{width}}{value}"))
    for i, line in enumerate(found.genome.equation().splitlines()):
        click.echo(printable(f"{'' if i else 'base genome':<{width}}{line}"))
    if figure is not None:
        _draw(found, made, figure, family, steps, tasks)
    print_next_of_controllers("show", controller)


def _draw(
    controller: "Controller",
    made: Mapping[str, Any],
    path: Path,
    family: str | None,
    steps: int | None,
    n_tasks: int,
) -> None:
    """Draw what a controller does, on what it was trained on where that is known."""
    from optuna_evo.meta_training import build_family
    from optuna_evo.meta_training import Domain
    from optuna_evo.meta_training import trace
    from optuna_evo.reports import analyse_trace
    from optuna_evo.reports import analysis_line
    from optuna_evo.reports import draw_controller

    spec = made.get("spec") or {}
    domain = Domain.from_table((spec.get("families") or [{"name": "digits_mlp"}])[0], "families")
    if family is not None:
        domain = Domain(name=family)
    length = steps or (spec.get("horizon") or {}).get("high", 100)
    built = build_family(domain.name, domain.options, reparametrise=domain.reparametrise)
    found = trace(controller, built, steps=length, n_tasks=n_tasks)
    draw_controller(found, path)
    click.echo(printable(f"On {domain.name}, {n_tasks} held-out tasks, {length} steps:"))
    for name, analysis in analyse_trace(found).items():
        click.echo(printable(f"  {analysis_line(name, analysis)}"))
    click.echo(printable(f"Wrote {path}."))


@optimizer.command("list", short_help="List the learned optimizers of the package and of folders.")
@click.argument(
    "folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(file_okay=False, path_type=Path)
)
def optimizer_list(folders: tuple[Path, ...]) -> None:
    """List the learned optimizers that come with the package, and those in FOLDERs.

    \b
    Examples:
      optuna_evo optimizer list
      optuna_evo optimizer list . trained/
    """
    from optuna_evo.errors import UsageError
    from optuna_evo.learned import controllers
    from optuna_evo.learned import provenance_of
    from optuna_evo.learned import resolve

    places = {name: controllers.folder(name) for name in controllers}
    for folder in folders:
        heads = sorted({*folder.glob("controller.json"), *folder.glob("*/controller.json")})
        places |= {str(head.parent): head.parent for head in heads}
    if not places:
        click.echo("There are none; make one: optuna_evo optimizer meta-train SPEC.")
    for name, place in places.items():
        try:
            found, made = resolve(place), provenance_of(place)
        except UsageError as error:
            click.echo(printable(f"{name}: {error}"))
            continue
        n_parameters = sum(p.numel() for p in found.parameters())
        told = f"{found.kind}, {n_parameters} meta-parameters"
        figures = _figures(made)
        ours, base = (figures.get(f"selection_loss{end}") for end in ("", "_of_base"))
        if isinstance(ours, int | float) and isinstance(base, int | float):
            told += f", held-out loss {ours:.4g}, its base {base:.4g}"
        click.echo(printable(f"{name}: {told}"))
    print_next_of_controllers("list", next(iter(places), None))


def _figures(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was measured of a controller: whoever wrote its file has said it."""
    found = provenance.get("figures")
    return found if isinstance(found, Mapping) else {}

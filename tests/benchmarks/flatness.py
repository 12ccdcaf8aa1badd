"""What FlatnessPruner saves and costs: whole trainings of the AlexNet study, stopped later.

    python -m tests.benchmarks.flatness --data-dir DIR [--configs 6] [--epochs 8] [--reports 40]

Configurations are drawn from the study's space, at random, and trained to the end without a
pruner; then each curve is cut where the pruner would have stopped it. The table holds the share of
optimizer steps saved and the validation accuracy lost, in points, against the end of the curve.
"""

from collections.abc import Sequence
import json
from pathlib import Path

import click
import numpy as np
import optuna
from rich.console import Console
from rich.table import Table

from optuna_evo import tasks
from optuna_evo.objectives import CurveObjective
from optuna_evo.pruners import slope_is_flat
from optuna_evo.spaces import training_space


SETTINGS = {
    "defaults": {},
    "window 8, tolerance 0.0015, patience 3": {"window": 8, "tolerance": 0.0015, "patience": 3},
    "window 5, tolerance 0.002, patience 3": {"window": 5, "tolerance": 0.002, "patience": 3},
    "window 5, tolerance 0.005, patience 3": {"window": 5, "tolerance": 0.005, "patience": 3},
}


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
@click.option("--task", default="mnist_alexnet", show_default=True)
@click.option("--configs", default=6, show_default=True)
@click.option("--epochs", default=8.0, show_default=True)
@click.option("--reports", default=40, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Keep and reuse the curves here.")
def main(
    data_dir: Path | None,
    task: str,
    configs: int,
    epochs: float,
    reports: int,
    seed: int,
    cache: Path | None,
) -> None:
    """Print one table."""
    curves = json.loads(cache.read_text()) if cache and cache.exists() else []
    objective = CurveObjective(
        task=tasks.get(task), seed=seed, epochs=epochs, reports=reports, data_dir=data_dir
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for i in range(configs):
        config = training_space(study.ask())
        if i < len(curves):
            continue
        run = objective.start([config])
        curves.append([run.advance()[0] for _ in range(reports)])
        if cache:
            cache.write_text(json.dumps(curves))
    table = Table(title=f"{task}: {len(curves)} trainings of {epochs:g} epochs, {reports} reports")
    for column in ("FlatnessPruner", "steps saved, %", "points lost, mean", "points lost, worst"):
        table.add_column(column)
    for name, options in SETTINGS.items():
        stops = [stop_of(curve, **options) for curve in curves]  # type: ignore[arg-type]
        saved = [1 - stop / len(curve) for stop, curve in zip(stops, curves, strict=True)]
        lost = [100 * (c[-1] - c[stop - 1]) for stop, c in zip(stops, curves, strict=True)]
        table.add_row(
            name, f"{100 * np.mean(saved):.0f}", f"{np.mean(lost):.2f}", f"{max(lost):.2f}"
        )
    Console().print(table)


def stop_of(curve: Sequence[float], **options: float) -> int:
    """Return the number of reports after which the pruner stops a maximised curve."""
    for n in range(1, len(curve)):
        if slope_is_flat(curve[:n], maximize=True, **options):  # type: ignore[arg-type]
            return n
    return len(curve)


if __name__ == "__main__":
    main()

"""What the study commands print at their end."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optuna_evo.names import printable


if TYPE_CHECKING:
    from rich.console import Console

    from optuna_evo.study import StoredStudy

__all__ = ["print_final", "print_judgement", "print_sources_line", "print_summary"]


def print_summary(stored: "StoredStudy", console: "Console") -> None:
    """Print the study at a glance."""
    from optuna_evo.errors import UsageError
    from optuna_evo.objectives import kind_of
    from optuna_evo.reports import study_panel
    from optuna_evo.reports import summarise
    from optuna_evo.study import build_space
    from optuna_evo.surrogates import predict_scores

    console.print(study_panel(summarise(stored.study, build_space(stored.spec))))
    if stored.spec.warm_start:
        print_sources_line(stored)
    if kind_of(stored.spec).trains_controllers:
        with contextlib.suppress(UsageError):  # too few trials yet
            click.echo(predict_scores(stored.study).sentence)


def print_sources_line(stored: "StoredStudy") -> None:
    """Print what a study starts from, and how far it believes each source by now."""
    from optuna_evo.warm_start import read_references
    from optuna_evo.warm_start import read_weights

    weights = read_weights(stored.study)
    names = [str(reference) for reference in read_references(stored.study)]
    shown = [f"{name} {weights[name]:.2f}" if name in weights else name for name in names]
    none = f"no finished study of the same space ({', '.join(stored.spec.warm_start)})"
    click.echo(printable(f"Starts from {', '.join(shown) or none}."))


def print_final(
    stored: "StoredStudy", console: "Console", device: str, data_dir: Path | None
) -> None:
    """Train the best configuration finally, unless that is done, and print its test metric."""
    from optuna_evo.study import final_metrics
    from optuna_evo.study import train_best

    with console.status("training the best configuration on all but the test rows"):
        metric = train_best(stored, device=device, data_dir=data_dir)
    epochs = stored.spec.final.epochs
    how = f"Trained for {epochs:g} epochs" if epochs else "Fitted to all other rows"
    metrics = final_metrics(stored)
    loss = f" (loss {metrics['loss']:.4f})" if "loss" in metrics else ""
    console.print(f"{how}, measured once on test data: {metric:.4f}{loss}")


def print_judgement(
    stored: "StoredStudy",
    console: "Console",
    device: str | None,
    data_dir: Path | None,
    *,
    afresh: bool,
) -> None:
    """Print the stored judgement; without one, or afresh, make it if a device is named."""
    from optuna_evo.reports import judge_table
    from optuna_evo.reports import JudgeProgress
    from optuna_evo.search import FINISHED
    from optuna_evo.study import judge_study
    from optuna_evo.study import stored_judgement

    rows = None if afresh else stored_judgement(stored)
    if rows is None:
        if device is None:
            return
        with JudgeProgress(console) as progress:
            rows = judge_study(
                stored,
                device=device,
                data_dir=data_dir,
                on_run=progress.count,
            )
    n_trials = len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    console.print(judge_table(rows, n_trials=n_trials, steps=stored.spec.trainer.steps))

"""Summaries and judgements for the terminal."""

from collections.abc import Sequence
import math

from rich.console import Group
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import JudgeRow
from optuna_evo.names import printable
from optuna_evo.reports._summary import StudySummary
from optuna_evo.search import StudyLine


__all__ = ["judge_table", "plain", "study_panel", "study_table"]

_STATES = ("complete", "pruned", "fail", "running", "waiting")


def plain(text: str) -> Text:
    """Return a text from elsewhere on one line, in which nothing is markup or an escape code."""
    return Text(printable(text))


def study_table(lines: Sequence[StudyLine]) -> RenderableType:
    """Draw the studies of a database, one a row; one that cannot be read has the reason."""
    table = Table()
    for column in ("study", "direction", "trials", "best", "started"):
        table.add_column(column)
    for line in lines:
        if line.problem:
            table.add_row(plain(line.name), plain(f"unreadable: {line.problem}"))
            continue
        table.add_row(
            plain(line.name),
            ", ".join(line.directions),
            str(line.n_trials),
            "" if line.best is None else f"{line.best:.4f}",
            "" if line.started is None else f"{line.started:%Y-%m-%d %H:%M}",
        )
    return table


def study_panel(summary: StudySummary) -> RenderableType:
    """Draw the best trial, its accuracy by task where it has some, and the generations."""
    counts = ", ".join(f"{summary.counts[s]} {s}" for s in _STATES if summary.counts[s])
    if summary.n_reused:
        counts += f" ({summary.n_reused} took the result of an equal trial)"
    parts: list[RenderableType] = [
        Text.assemble(
            (printable(summary.name), "bold"), f" ({summary.direction}): {counts or 'no trials'}"
        )
    ]
    if summary.last_error:
        parts.append(plain(f"failed last: {summary.last_error}"))
    if summary.best is not None:
        title = f"best: trial {summary.best.number}, value {summary.best.value:.4f}"
        text = "\n".join(filter(None, (summary.equation, summary.training, summary.notes)))
        body = Text("\n").join(map(plain, text.splitlines()))
        parts.append(Panel(body, title=title, subtitle=plain(summary.fingerprint), expand=False))
    if summary.accuracies:
        parts.append(_accuracy_table(summary))
    if summary.generations:
        parts.append(_generation_table(summary))
    return Group(*parts)


def judge_table(rows: Sequence[JudgeRow], *, n_trials: int, steps: int) -> RenderableType:
    """Draw the comparison on test data, the best mean first, the judged row marked.

    Args:
        rows: What `judge` returned, the judged optimizer first.
        n_trials: Genomes that the search tried; the caption names it.
        steps: Optimizer steps of every training.
    """
    judged = rows[0]
    n_seeds = len(judged.by_seed)
    table = Table(
        title=f"Test accuracy in %, {steps} steps, {n_seeds} fresh seeds (mean ± 95 % interval)",
        caption=f"The evolved rule is the best of {n_trials} trials. "
        "Differences are paired by seed: evolved minus row.",
    )
    table.add_column("optimizer")
    table.add_column("setting")
    for task in judged.accuracies:
        table.add_column(plain(task), justify="right")
    if len(judged.accuracies) > 1:
        table.add_column("mean", justify="right")
    table.add_column("difference", justify="right")
    for row in sorted(rows, key=lambda row: -row.overall.mean):
        cells = [_percent(Interval.of(values)) for values in row.accuracies.values()]
        if len(row.accuracies) > 1:
            cells.append(_percent(row.overall))
        difference = "" if row is judged else _percent(judged.minus(row), signed=True)
        style = "bold" if row is judged else None
        table.add_row(plain(row.name), plain(row.setting), *cells, difference, style=style)
    return table


def _accuracy_table(summary: StudySummary) -> Table:
    table = Table(title="Validation accuracy of the best trial in %")
    table.add_column("task")
    n_seeds = max(map(len, summary.accuracies.values()))
    for seed in range(n_seeds):
        table.add_column(f"seed {seed}", justify="right")
    table.add_column("mean", justify="right")
    for task, values in summary.accuracies.items():
        cells = [f"{100 * v:.2f}" for v in values] + [""] * (n_seeds - len(values))
        mean = f"{100 * sum(values) / len(values):.2f}" if values else "diverged"
        table.add_row(plain(task), *cells, mean)
    return table


def _generation_table(summary: StudySummary) -> Table:
    table = Table(title="Population")
    for column in ("generation", "trials", "pruned", "diverged", "best", "median"):
        table.add_column(column, justify="right")
    for g in summary.generations:
        numbers = (g.number, g.n_trials, g.n_pruned, g.n_diverged)
        table.add_row(*map(str, numbers), f"{g.best:.4f}", f"{g.median:.4f}")
    return table


def _percent(interval: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if math.isnan(interval.half_width):
        return f"{100 * interval.mean:{sign}.2f}"
    return f"{100 * interval.mean:{sign}.2f} ± {100 * interval.half_width:.2f}"

"""A study's note in the dashboard, in Markdown."""

from collections.abc import Sequence

from optuna_evo.reports._markdown import fenced
from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._markdown import markdown_table
from optuna_evo.reports._summary import StudySummary


__all__ = ["study_note"]

_STATES = ("complete", "pruned", "fail", "running", "waiting")


def study_note(
    summary: StudySummary,
    *,
    about: Sequence[tuple[str, str]] = (),
    tables: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> str:
    """Return what the study is, its best trial with its rule, the judge's table, how to go on.

    Args:
        summary: The study at a glance.
        about: What it is, as pairs of a word and a text.
        tables: Lines of Markdown: what the judge found.
        commands: How to go on.
    """
    counts = ", ".join(f"{summary.counts[s]} {s}" for s in _STATES if summary.counts.get(s))
    lines = [f"**{in_markdown(word)}:** {in_markdown(text)}  " for word, text in about]
    lines += [f"**trials:** {counts or 'none yet'}", ""]
    if summary.last_error:
        lines += [f"Failed last: {in_markdown(summary.last_error)}", ""]
    if summary.best is None:
        lines += ["No trial is complete yet.", ""]
    else:
        shown = "\n".join(filter(None, (summary.equation, summary.training, summary.notes)))
        lines += [f"### Best: trial {summary.best.number}, value {summary.best.value:.4f}", ""]
        lines += [*fenced(shown), ""]
    if summary.accuracies:
        lines += markdown_table(("task", "mean validation accuracy"), _means(summary))
        lines += [""]
    if tables:
        lines += ["### On test data", "", *tables, ""]
    if commands:
        lines += ["### What next", "", *fenced("\n".join(commands), "sh")]
    return "\n".join(lines).rstrip()


def _means(summary: StudySummary) -> list[tuple[str, str]]:
    return [
        (task, f"{sum(values) / len(values):.4f}" if values else "diverged")
        for task, values in summary.accuracies.items()
    ]

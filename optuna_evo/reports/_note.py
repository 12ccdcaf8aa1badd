"""A study's note in the dashboard, in Markdown."""

import html
import re

from optuna_evo.names import printable
from optuna_evo.reports._summary import StudySummary


__all__ = ["in_markdown", "study_note"]


def study_note(summary: StudySummary) -> str:
    """Return the best trial with its update rule and its accuracies by task."""
    if summary.best is None:
        return "No trial is complete yet."
    shown = "\n".join(filter(None, (summary.equation, summary.training)))
    code = "\n".join(map(printable, shown.splitlines()))
    # longer than any run of backticks within, which would end the block
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    lines = [f"Best: trial {summary.best.number}, value {summary.best.value:.4f}", ""]
    lines += [fence, code, fence]
    if summary.accuracies:
        lines += ["", "| task | mean validation accuracy |", "|---|---|"]
        for task, values in summary.accuracies.items():
            mean = f"{sum(values) / len(values):.4f}" if values else "diverged"
            lines.append(f"| {in_markdown(task)} | {mean} |")
    return "\n".join(lines)


def in_markdown(text: str) -> str:
    r"""Return a text that Markdown shows as it is: no markup, no HTML, no new cell of a table.

    Example:
        >>> in_markdown("a|b <i>")
        'a\\\\|b &lt;i&gt;'
    """
    escaped = re.sub(r"([\\`*\[\]|#!])", r"\\\1", html.escape(printable(text), quote=False))
    # between letters and digits an underscore is no markup, and "my_study" stays readable
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)

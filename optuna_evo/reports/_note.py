"""A study's note in the dashboard, in Markdown."""

from optuna_evo.reports._summary import StudySummary


__all__ = ["study_note"]


def study_note(summary: StudySummary) -> str:
    """Return the best trial with its update rule and its accuracies by task."""
    if summary.best is None:
        return "No trial is complete yet."
    lines = [f"Best: trial {summary.best.number}, value {summary.best.value:.4f}", "", "```"]
    lines += [*filter(None, (summary.equation, summary.training)), "```"]
    if summary.accuracies:
        lines += ["", "| task | mean validation accuracy |", "|---|---|"]
        for task, values in summary.accuracies.items():
            mean = f"{sum(values) / len(values):.4f}" if values else "diverged"
            lines.append(f"| {task} | {mean} |")
    return "\n".join(lines)

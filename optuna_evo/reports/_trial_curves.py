"""The course of one trial: what it reported, and its training losses; as a picture and as CSV."""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import io
import math
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optuna_evo.attributes import LOSS_CURVE
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.names import printable
from optuna_evo.reports._figure_text import in_figure
from optuna_evo.search import ancestors


__all__ = ["curves_csv", "curves_of", "curves_picture", "has_curves", "Line", "TrialCurves"]

_COLOURS = ("#3b6fb6", "#d1672b", "#4a9a5c", "#8a5aa8", "#b0894a", "#50a0a8")
_MOST_NAMED = 6  # lines with a name of their own beside the picture


class Line(NamedTuple):
    """A line in a picture: its name, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class TrialCurves(NamedTuple):
    """The course of a trial.

    Args:
        number: Number of the trial.
        reported: Values by report, for the pruner.
        losses: Mean training losses over shares of the steps, one line for each training.
        lineage: Values over the optimizer steps since fresh weights, for a trial that went on
            from another one.
        owner: Number of the trial whose result it took; None: it trained by itself.
    """

    number: int
    reported: Line | None
    losses: Sequence[Line]
    lineage: Line | None
    owner: int | None


def has_curves(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Tell whether there is anything to draw of a trial."""
    found = curves_of(trial, trials)
    return found.reported is not None or bool(found.losses) or found.lineage is not None


def curves_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> TrialCurves:
    """Return the course of a trial; that of its losses from the trial whose result it took.

    Args:
        trial: One of the study.
        trials: All of the study, by number.
    """
    owner = REUSED_FROM.read(trial.user_attrs)
    source = trial
    if isinstance(owner, int) and 0 <= owner < len(trials):
        source = trials[owner]
    reports = sorted(trial.intermediate_values.items())
    reported = None
    if reports:
        reported = Line("reported", [float(step) for step, _ in reports], [y for _, y in reports])
    return TrialCurves(
        number=trial.number,
        reported=reported,
        losses=_losses(LOSS_CURVE.read(source.system_attrs)),
        lineage=_lineage(trial, trials),
        owner=None if source is trial else source.number,
    )


def curves_picture(curves: TrialCurves) -> bytes:
    """Return the course of a trial as a PNG picture."""
    from matplotlib.figure import Figure  # no pyplot: no global state, no window
    from matplotlib.ticker import MaxNLocator

    shown = [
        ("training loss", "optimizer step", list(curves.losses), True),
        ("reported value", "report", [line for line in [curves.reported] if line], False),
        ("value along the lineage", "optimizer step", [x for x in [curves.lineage] if x], False),
    ]
    panels = [panel for panel in shown if panel[2]]
    figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.2), layout="constrained")
    for axes, (title, xlabel, lines, is_loss) in zip(
        figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels, strict=False
    ):
        for line, colour in zip(lines, _COLOURS * len(lines), strict=False):
            mark = "o" if len(line.x) < 24 else None
            name = in_figure(line.name) if is_loss else None
            axes.plot(line.x, line.y, color=colour, lw=1.6, marker=mark, ms=3, label=name)
        axes.set(title=title, xlabel=xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.3)
        if is_loss and all(y > 0 for line in lines for y in line.y if math.isfinite(y)):
            axes.set_yscale("log")
        if is_loss and 1 < len(lines) <= _MOST_NAMED:
            axes.legend(fontsize=8, frameon=False)
    whose = "" if curves.owner is None else f" (losses of trial {curves.owner}, its equal)"
    figure.suptitle(f"trial {curves.number}{whose}", fontsize=11)
    file = io.BytesIO()
    figure.savefig(file, dpi=100, format="png")
    return file.getvalue()


def curves_csv(curves: TrialCurves) -> str:
    """Return the course of a trial as CSV: what, step, value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("what", "step", "value"))
    lines = [line for line in (curves.reported, curves.lineage) if line is not None]
    named = [*lines, *(Line(f"training loss: {x.name}", x.x, x.y) for x in curves.losses)]
    for line in named:
        writer.writerows(
            (printable(line.name), f"{x:g}", y) for x, y in zip(line.x, line.y, strict=True)
        )
    return file.getvalue()


def _losses(stored: object) -> list[Line]:
    """Read what objectives wrote (`attributes.LOSS_CURVE`)."""
    if not isinstance(stored, Mapping):
        return []
    lines = []
    for task, trainings in stored.get("losses", {}).items():
        for nth, means in enumerate(trainings):
            width = stored["steps"] / len(means)
            name = f"{task}, seed {nth}" if len(trainings) > 1 else str(task)
            x = [width * (k + 0.5) for k in range(len(means))]
            lines.append(Line(name, x, [math.nan if y is None else float(y) for y in means]))
    return lines


def _lineage(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Line | None:
    line = [t for t in ancestors(trials, trial.number) if t.value is not None][::-1]
    if len(line) < 2:
        return None
    steps = [
        t.user_attrs.get("first_step", 0) + t.user_attrs.get("optimizer_steps", 0) for t in line
    ]
    return Line("value along the lineage", steps, [float(t.value or 0.0) for t in line])

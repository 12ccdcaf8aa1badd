"""A judgement for the terminal: tables for each set of tasks, and the verdicts."""

from collections.abc import Iterator
from collections.abc import Sequence
import math

from rich.console import Group
from rich.console import RenderableType
from rich.table import Table as RichTable

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import Judgement
from optuna_evo.evaluation import Line
from optuna_evo.evaluation import Table
from optuna_evo.reports._terminal import plain


__all__ = ["judgement_view"]

_TITLES = {
    "schedules": "Schedules granted to all",
    "constant": "Schedules granted to none",
    "grafted": "Update rules alone, all with the step sizes of {reference}",
}
_ANSWERS = {"yes": "yes", "no": "no", "open": "not decided"}


def judgement_view(judgement: Judgement) -> RenderableType:
    """Draw a judgement: tables with and without schedules, with equal step sizes, verdicts."""
    parts: list[RenderableType] = []
    reference = judgement.terms.get("step_sizes_of")
    for kind, table in judgement.tables.items():
        for name, tasks in judgement.sets.items():
            if not tasks:
                continue
            lines = table.lines(tasks)
            what = _TITLES[kind].format(reference=f"tuned {reference}")
            title = f"{what}; {name} tasks: {', '.join(tasks)}"
            parts.append(_losses(lines, title, judgement))
            if table is judgement.main:
                parts.append(_speed(lines))
    parts.append(_curves(judgement.main))
    parts += map(plain, _sentences(judgement))
    return Group(*parts)


def _losses(lines: Sequence[Line], title: str, judgement: Judgement) -> RichTable:
    seeds = judgement.terms["seeds"]
    table = RichTable(
        title=plain(title),
        caption=f"Mean over tasks of {seeds} paired seeds, [95 % interval]. Difference: test loss "
        "of the judged one minus that of the row; p by Holm corrected.",
    )
    table.add_column("optimizer", overflow="fold")
    for column in ("test loss", "difference", "p", "test metric", "diverged"):
        table.add_column(column, justify="right")
    for line in sorted(lines, key=lambda line: line.loss.mean):
        verdict = line.verdict
        p = "" if verdict is None else f"{line.p_value:.3f}"
        difference = "" if line.difference is None else _interval(line.difference.difference, "+")
        table.add_row(
            plain(line.row.label),
            _interval(line.loss),
            difference,
            p,
            _interval(line.metric),
            f"{100 * line.diverged:.0f} %",
            style="bold" if line.row.judged else None,
        )
    return table


def _speed(lines: Sequence[Line]) -> RichTable:
    table = RichTable(
        caption="Target: the best tuned baseline's median of the validation loss. Faster: how "
        "many times as fast as the row the judged one reaches it. Profile: AlgoPerf's score. "
        "Good rates: factors of ten of the learning rate that cost at most a tenth of the loss.",
    )
    table.add_column("optimizer", overflow="fold")
    columns = ("reach it", "faster: steps", "faster: seconds", "profile", "ms a step")
    for column in (*columns, "bytes a weight", "good rates"):
        table.add_column(column, justify="right")
    for line in sorted(lines, key=lambda line: -line.score):
        steps = "" if line.steps is None else _interval(line.steps.ratio)
        seconds = "" if line.seconds is None else _interval(line.seconds.ratio)
        times = [1000 * value for value in line.row.step_seconds.values()]
        widths = [each.decades for each in line.row.lr_width.values()]
        table.add_row(
            plain(line.row.label),
            f"{100 * line.reached:.0f} %",
            steps,
            seconds,
            f"{line.score:.2f}",
            f"{sum(times) / len(times):.2f}",
            f"{line.row.state_bytes:.1f}",
            f"{sum(widths) / len(widths):.2f}" if widths else "",
            style="bold" if line.row.judged else None,
        )
    return table


def _curves(table: Table) -> RichTable:
    """Draw what tuning is worth: the best validation loss after so many trials."""
    curve = next(iter(table.judged.tuned.values())).curve
    drawn = RichTable(title="Best validation loss after so many tuning trials, mean over tasks")
    drawn.add_column("optimizer", overflow="fold")
    for n in curve:
        drawn.add_column(str(n), justify="right")
    for row in table.rows:
        tuned = row.tuned.values()
        means = [sum(each.curve[n] for each in tuned) / len(tuned) for n in curve]
        style = "bold" if row.judged else None
        drawn.add_row(plain(row.label), *(f"{mean:.4f}" for mean in means), style=style)
    return drawn


def _sentences(judgement: Judgement) -> Iterator[str]:
    terms, name = judgement.terms, judgement.last_set
    yield (
        f"Everybody was tuned over {terms['budget']} trials on each task (trial 1: the defaults), "
        f"the judged one too: its learning rate by a factor, and its schedule."
    )
    if terms["tunings"] == 1:
        yield (
            "Intervals are about the optimizers as this tuning left them: another one would leave "
            "others (--tunings)."
        )
    if judgement.winner is not None:
        winner = judgement.winner
        yield (
            f"Winner: number {winner['place']} of the search among its best "
            f"{winner['candidates']}, by fresh seeds on {', '.join(winner['tasks'])}."
        )
    cost = "" if judgement.search_cost is None else f"search {judgement.search_cost:.0f}, "
    yield f"Cost in trainings of the search's length: {cost}judgement {judgement.judge_cost:.0f}."
    yield (
        f"Valid, that is, reaches the targets on the {name} tasks: "
        f"{_ANSWERS[judgement.valid.answer]} (loss minus target "
        f"{_interval(judgement.valid.interval, '+')})."
    )
    yield (
        f"Better than {judgement.predecessor} there: {_ANSWERS[judgement.better.answer]} "
        f"(difference {_interval(judgement.better.interval, '+')}, "
        f"p {judgement.better.p_value:.3f})."
    )


def _interval(interval: Interval, sign: str = "") -> str:
    if math.isnan(interval.mean):
        return "–"
    if math.isnan(interval.low):
        return f"{interval.mean:{sign}.4f}"
    return f"{interval.mean:{sign}.4f} [{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"

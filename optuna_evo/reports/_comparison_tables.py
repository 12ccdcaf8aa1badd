"""A comparison of samplers as tables: in the terminal, and as a Markdown report."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np
from rich.table import Table

from optuna_evo.evaluation import Interval
from optuna_evo.reports._comparison import Comparison
from optuna_evo.reports._comparison import Contender
from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._terminal import plain


__all__ = ["comparison_markdown", "comparison_table"]

_COLUMNS = (
    "sampler",
    "best value",
    "rank",
    "reached at",
    "better by",
    "training time",
    "sampler time",
)
_COST_COLUMNS = ("at equal cost", "better by then")


def comparison_table(comparison: Comparison) -> Table:
    """Draw the samplers side by side for the terminal."""
    table = Table(title=plain(_title(comparison)), caption=plain(_caption(comparison)))
    first, *others = _columns(comparison)
    table.add_column(first)
    for column in others:
        table.add_column(column, justify="right")
    for contender in comparison.contenders:
        table.add_row(*map(plain, _cells(contender, comparison)))
    return table


def comparison_markdown(comparison: Comparison, *, image: str) -> str:
    """Return the report: samplers side by side, optimal hyperparameters, curves.

    Args:
        comparison: What to report.
        image: Name of the file with the curves, beside the report.
    """
    lines = [f"# {in_markdown(_title(comparison))}", "", *_header(_columns(comparison))]
    lines += [_row(_cells(contender, comparison)) for contender in comparison.contenders]
    lines += ["", in_markdown(_caption(comparison)), "", f"![Best value so far]({image})", ""]
    lines += ["## Optimal hyperparameters", "", *_params_table(comparison), ""]
    return "\n".join(lines)


def _columns(comparison: Comparison) -> tuple[str, ...]:
    return _COLUMNS if comparison.cost is None else (*_COLUMNS, *_COST_COLUMNS)


def _title(comparison: Comparison) -> str:
    n_trials = max(len(c.best) for each in comparison.contenders for c in each.courses)
    seeds = comparison.seeds
    counted = f"{len(seeds)} seeds ({seeds[0]} to {seeds[-1]})" if len(seeds) > 1 else "1 seed"
    return (
        f"{comparison.name}: {len(comparison.contenders)} samplers on "
        f"{', '.join(comparison.tasks)}, {n_trials} trials, {counted}"
    )


def _caption(comparison: Comparison) -> str:
    first = comparison.contenders[0].label
    at_cost = (
        f" At equal cost: best value when as much ({comparison.cost}) is spent as the cheapest "
        f"sampler of the seed spends in all; better by then: difference to {first}."
    )
    return (
        f"Best value: mean ± 95 % interval over seeds, {comparison.better} is better. Rank: mean "
        f"over seeds. Reached at: median of the evaluations until it was as good as {first} at "
        "its end with the same seed (and how many seeds reached that). Better by: difference to "
        f"{first}, paired by seed. Training and sampler time: per study, outside and inside "
        f"sampler and database.{'' if comparison.cost is None else at_cost}"
    )


def _cells(contender: Contender, comparison: Comparison) -> list[str]:
    is_first = contender is comparison.contenders[0]
    reached = [n for n in contender.to_reach if n is not None]
    median = f"{np.median(reached):g}" if reached else "–"
    cells = [
        contender.label,
        _interval(contender.final),
        f"{contender.rank:.2f}",
        f"{median} ({len(reached)}/{len(contender.to_reach)})",
        "" if is_first else _interval(contender.gain, signed=True),
        f"{contender.training_seconds:.1f} s",
        f"{contender.sampler_seconds:.2f} s",
    ]
    if comparison.cost is not None:
        cells.append(_interval(contender.at_cost))
        cells.append("" if is_first else _interval(contender.gain_at_cost, signed=True))
    return cells


def _params_table(comparison: Comparison) -> list[str]:
    names = sorted({name for each in comparison.contenders for name in each.params})
    lines = _header(["parameter", *(each.label for each in comparison.contenders)])
    for name in names:
        lines.append(_row([name, *(_value(each.params, name) for each in comparison.contenders)]))
    return lines


def _value(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name, "–")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _header(columns: list[str] | tuple[str, ...]) -> list[str]:
    return [_row(list(columns)), _row(["---"] * len(columns))]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(map(in_markdown, cells)) + " |"


def _interval(interval: Interval, *, signed: bool = False) -> str:
    # accuracies and losses in four decimals, errors in the thousands (as of diabetes) in one
    form = f"{'+' if signed else ''}.{4 if abs(interval.mean) < 100 else 1}f"
    if math.isnan(interval.half_width):
        return f"{interval.mean:{form}}"
    return f"{interval.mean:{form}} ± {interval.half_width:{form.lstrip('+')}}"

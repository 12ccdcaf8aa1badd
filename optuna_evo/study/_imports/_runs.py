"""Rows of a file as trials: complete ones, pruned ones, and failed ones with their reason."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
import math
from pathlib import Path
from typing import Any
from typing import Final
from typing import Literal

from optuna.distributions import BaseDistribution
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import ATTRIBUTES
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import RECORDS
from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.metrics import ALL_METRICS
from optuna_evo.names import printable
from optuna_evo.study._imports._files import Cell
from optuna_evo.study._imports._files import read_rows
from optuna_evo.study._imports._files import Row
from optuna_evo.study._imports._files import rows_of
from optuna_evo.study._imports._layout import Layout
from optuna_evo.study._imports._layout import read_layout
from optuna_evo.study._imports._ranges import fit_range
from optuna_evo.study._imports._ranges import infer_range
from optuna_evo.study._imports._ranges import number_of
from optuna_evo.study._imports._ranges import Parameter
from optuna_evo.study._imports._ranges import range_words
from optuna_evo.study._imports._times import span_of


__all__ = ["ImportedRuns", "read_runs"]

Direction = Literal["minimize", "maximize"]
# How a run ended, in the words of W&B, MLflow, Optuna, Ray Tune and Slurm.
_FAILED: Final = frozenset(
    "failed fail failure crashed killed error errored canceled cancelled preempted aborted "
    "timeout out_of_memory node_fail".split()
)
_PRUNED: Final = "pruned"
_OPEN: Final = frozenset(
    "running pending scheduled waiting queued paused starting initializing submitted".split()
)
_LONGEST_TEXT: Final = 5_000
_PREFIX: Final = "run."  # of a column that is called like an attribute of ours
_RESERVED: Final = frozenset(
    [*(name for a in ATTRIBUTES for name in (a.key, *a.aliases)), *RECORDS, "weights"]
)
_OURS: Final = ("optuna_evo:", "accuracy_", "dashboard:")
# Attributes of which reports show a number, if they are one.
_NUMBERS: Final = frozenset(ALL_METRICS).union(
    ["train_loss", "valid_loss", "perplexity", "optimizer_steps", "seconds"]
)


@dataclass(frozen=True)
class ImportedRuns:
    """Runs that were never Optuna's, as trials.

    Attributes:
        source: The file.
        value: The column of the value.
        direction: "minimize" or "maximize".
        trials: The runs, in the order of their start where every one has it.
        parameters: The range of each parameter.
        notes: What was inferred, in words: ranges, columns and runs that are left out.
    """

    source: str
    value: str
    direction: Direction
    trials: tuple[FrozenTrial, ...]
    parameters: Mapping[str, BaseDistribution]
    notes: tuple[str, ...]

    def count(self, state: TrialState) -> int:
        """Return how many trials have a state."""
        return sum(trial.state == state for trial in self.trials)


def read_runs(
    source: str | Path | Sequence[Mapping[str, Any]],
    *,
    value: str,
    direction: str,
    params: Sequence[str] | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
) -> ImportedRuns:
    """Read runs from a file, or from rows, as the trials of a study that is to be made.

    A run counts as failed, with its reason, if its state says so (failed, crashed, killed, …) or
    it has no number as its value; an infinite value is one. Runs that go on are left out. A cell
    that is empty is a parameter that the run did not have. All other columns become user
    attributes of the trial.

    Args:
        source:
            A CSV or TSV file, one of JSON lines or a JSON list, also as .gz, .bz2, .xz, or
            parquet; exports of W&B, MLflow, Ray Tune and Optuna are known. Or rows, which may be
            nested.
        value:
            The column of the value, with or without "metrics." or "summary.".
        direction:
            "minimize" or "maximize".
        params:
            Columns of the parameters; None: what the export says are parameters, in plain tables
            all columns that do not look like results or bookkeeping.
        space:
            Ranges of parameters, which then are those that are both in it and in the file; None:
            they are inferred. They become as wide as the runs need.

    Raises:
        UsageError: If there is no such column, nothing is a parameter, no run has a finite value,
            or the direction is none.
        DataError: If the file cannot be read or holds no runs.

    Example:
        >>> rows = [{"lr": 10.0**-i, "loss": float(i), "state": "finished"} for i in range(1, 4)]
        >>> runs = read_runs(rows, value="loss", direction="minimize")
        >>> runs.parameters["lr"], runs.trials[0].value
        (FloatDistribution(high=0.1, log=True, low=0.001, step=None), 1.0)
    """
    if direction not in ("minimize", "maximize"):
        raise UsageError(f'`direction` must be "minimize" or "maximize", got {direction!r:.60}.')
    notes: list[str] = []
    if isinstance(source, str | Path):
        name = str(source)
        rows, notes = read_rows(Path(source))
    else:
        name, rows = "the rows", rows_of(source, "the rows")
    if space is not None and params is None:
        params = _columns_of(space, rows, name)
    layout = read_layout(rows, value, params, name)
    rows = _finished(rows, layout, notes, name)
    found = _parameters(rows, layout, params is not None, space)
    kept = {n: p for n, p in found.items() if p.range is not None}
    if not kept:
        reasons = "; ".join(f"{printable(n)[:60]}: {p.why}" for n, p in list(found.items())[:5])
        raise UsageError(
            f"{name} has no parameter that differs between runs ({reasons}): name others by "
            "--params."
        )
    trials = [_trial(i, row, layout, kept) for i, row in enumerate(rows)]
    if not any(t.value is not None and math.isfinite(t.value) for t in trials):
        raise UsageError(
            f"No run in {name} has a finite number as {layout.value!r}: {_first_reason(trials)}."
        )
    spans = [span_of(row, layout.starts, layout.ends, layout.durations) for row in rows]
    now = datetime.now()
    for trial, span in zip(trials, spans, strict=True):
        trial.datetime_start, trial.datetime_complete = span.placed(now)
    if all(span.start is not None for span in spans):
        trials.sort(key=lambda trial: trial.datetime_start or now)
    notes += [_words(n, p, len(rows)) for n, p in kept.items()]
    left_out = [f"{n} ({p.why})" for n, p in found.items() if p.range is None]
    notes += [f"Left out: {', '.join(left_out)}"] if left_out else []
    if layout.skipped:
        skipped = ", ".join(layout.skipped)
        notes.append(f"Not searched, by their names (else give --params): {skipped}")
    ranges = {n: p.range for n, p in kept.items() if p.range is not None}
    kind: Direction = "minimize" if direction == "minimize" else "maximize"
    return ImportedRuns(name, layout.value, kind, tuple(trials), ranges, tuple(notes))


def _columns_of(
    space: Mapping[str, BaseDistribution], rows: Sequence[Row], source: str
) -> list[str]:
    """Return the parameters of a space that a file has."""
    tails = {column for row in rows for column in row}
    there = [
        name
        for name in space
        if name in tails or any(c.endswith((f".{name}", f"/{name}", f"_{name}")) for c in tails)
    ]
    if not there:
        raise UsageError(
            f"{source} has none of the parameters of the space: {', '.join(sorted(space))}."
        )
    return there


def _finished(rows: list[Row], layout: Layout, notes: list[str], source: str) -> list[Row]:
    """Leave out the runs that go on."""
    kept = [row for row in rows if _state(row, layout) not in _OPEN]
    if not kept:
        raise DataError(f"All {len(rows)} runs in {source} are still running or waiting.")
    if len(kept) < len(rows):
        notes.append(f"Left out: {len(rows) - len(kept)} runs that are still running or waiting")
    return kept


def _parameters(
    rows: Sequence[Row],
    layout: Layout,
    named: bool,
    space: Mapping[str, BaseDistribution] | None,
) -> dict[str, Parameter]:
    found = {}
    for name, column in layout.parameters.items():
        cells = {i: row[column] for i, row in enumerate(rows) if column in row}
        if space is not None and name in space:
            found[name] = fit_range(cells, space[name])
        else:
            found[name] = infer_range(cells, len(rows), named=named)
    return found


def _trial(i: int, row: Row, layout: Layout, parameters: Mapping[str, Parameter]) -> FrozenTrial:
    params = {n: p.values[i] for n, p in parameters.items() if i in p.values}
    ranges = {n: p.range for n, p in parameters.items() if n in params and p.range is not None}
    used = {layout.parameters[name] for name in params}
    value, reason = _value(row, layout)
    used |= set() if reason else {layout.value}
    attrs = {_key(c, cell): _attribute(cell) for c, cell in row.items() if c not in used}
    if reason:
        attrs[ERROR.key] = reason
        return create_trial(
            state=TrialState.FAIL, params=params, distributions=ranges, user_attrs=attrs
        )
    is_pruned = _state(row, layout) == _PRUNED
    return create_trial(
        state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
        value=value,
        params=params,
        distributions=ranges,
        user_attrs=attrs,
        intermediate_values={0: value} if is_pruned else None,
    )


def _value(row: Row, layout: Layout) -> tuple[float, str]:
    """Return the value of a run, and why it failed; empty if it did not."""
    state = _state(row, layout)
    if state in _FAILED and layout.state is not None:
        return math.nan, f"Its {layout.state} is {str(row[layout.state])!r:.60}"
    if layout.value not in row:
        return math.nan, f"It has no {layout.value}"
    cell = row[layout.value]
    try:
        value = float(cell)
    except ValueError:
        return math.nan, f"Its {layout.value} is {str(cell)!r:.60}, which is no number"
    except OverflowError:
        return math.nan, f"Its {layout.value} is beyond all numbers"
    return value, f"Its {layout.value} is NaN" if math.isnan(value) else ""


def _state(row: Row, layout: Layout) -> str:
    state = row.get(layout.state) if layout.state is not None else None
    return str(state or "").strip().lower().removeprefix("trialstate.")


def _key(column: str, cell: Cell) -> str:
    """Return the attribute that a column becomes: another where its name means something here."""
    if column in _NUMBERS:
        is_number = not isinstance(cell, str) and number_of(cell) is not None
        return column if is_number else f"{_PREFIX}{column}"
    is_reserved = column in _RESERVED or column.startswith(_OURS)
    return f"{_PREFIX}{column}" if is_reserved else column


def _attribute(cell: Cell) -> Cell:
    """Return a cell as JSON has it, which knows no infinite numbers."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell[:_LONGEST_TEXT] if isinstance(cell, str) else cell


def _first_reason(trials: Sequence[FrozenTrial]) -> str:
    reasons = [str(t.user_attrs[ERROR.key]) for t in trials if ERROR.key in t.user_attrs]
    first = reasons[0] if reasons else "all are infinite"
    return f"{first[:1].lower()}{first[1:]}"


def _words(name: str, parameter: Parameter, n_rows: int) -> str:
    assert parameter.range is not None
    n_there = len(parameter.values)
    where = f", in {n_there} of {n_rows} runs" if n_there < n_rows else ""
    why = f" ({parameter.why})" if parameter.why else ""
    return f"{name}: {range_words(parameter.range)}{where}{why}"

"""What a judgement found: rows of measurements, and the tables that are computed from them.

Everything here is a pure function of the rows; nothing trains.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

from optuna_evo.config import optimizer_to_dict
from optuna_evo.config import OptimizerConfig
from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._judgement_row import JudgementRow
from optuna_evo.evaluation._paired import Cells
from optuna_evo.evaluation._paired import holm
from optuna_evo.evaluation._paired import Paired
from optuna_evo.evaluation._paired import paired
from optuna_evo.evaluation._paired import Unit
from optuna_evo.evaluation._paired import units_of
from optuna_evo.evaluation._profile import profiles
from optuna_evo.evaluation._profile import speed_up
from optuna_evo.evaluation._profile import SpeedUp
from optuna_evo.evaluation._profile import Time
from optuna_evo.evaluation._profile import time_to_target
from optuna_evo.evaluation._verdict import better
from optuna_evo.evaluation._verdict import Verdict


__all__ = ["Judgement", "Line", "Table"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a printed table: a contestant over a set of tasks.

    Args:
        row: Whose.
        loss: Mean test loss.
        metric: Mean test metric.
        difference: Test loss of the judged one minus this one's; None in its own line.
        p_value: Of the difference, by Holm corrected for all lines of the table.
        steps: How many times as fast as this one the judged one reaches the targets, in steps.
        seconds: The same in seconds of training.
        score: Of its performance profile in steps, in [0, 1].
        diverged: Share of its trainings.
        reached: Share of its trainings that reached the target.
    """

    row: JudgementRow
    loss: Interval
    metric: Interval
    difference: Paired | None
    p_value: float
    steps: SpeedUp | None
    seconds: SpeedUp | None
    score: float
    diverged: float
    reached: float

    @property
    def verdict(self) -> Verdict | None:
        """Whether the judged one is better than this one; None in its own line."""
        if self.difference is None:
            return None
        return better(self.difference, p_value=self.p_value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; numbers that there are not are None."""
        answer = self.verdict
        return {
            "key": self.row.key,
            "label": self.row.label,
            "judged": self.row.judged,
            "test_loss": _ends(self.loss),
            "test_metric": _ends(self.metric),
            "difference": None if self.difference is None else _ends(self.difference.difference),
            "p_value": None if self.difference is None else self.p_value,
            "better": None if answer is None else answer.answer,
            "steps_speed_up": None if self.steps is None else _ends(self.steps.ratio),
            "seconds_speed_up": None if self.seconds is None else _ends(self.seconds.ratio),
            "profile_score": self.score,
            "diverged": self.diverged,
            "reached": self.reached,
        }


@dataclass(frozen=True, kw_only=True)
class Table:
    """All contestants on equal terms.

    Args:
        kind: "schedules": everybody may have one; "constant": nobody has; "grafted": all steps
            are as long as those of the tuned reference.
        rows: The judged one first.
        targets: The validation loss to reach, by task.
        times: When the validation loss was measured, in steps, by task.
        tunings: How many tunings the seeds were shared by; with several, those of a tuning count
            as one in intervals, since they have its luck in common.
    """

    kind: str
    rows: tuple[JudgementRow, ...]
    targets: Mapping[str, float]
    times: Mapping[str, Sequence[float]]
    tunings: int = 1

    @property
    def judged(self) -> JudgementRow:
        """The judged one."""
        return next(row for row in self.rows if row.judged)

    def unit(self, tasks: Sequence[str]) -> Unit:
        """Return what intervals are over: tasks where there are more of them than seeds."""
        seeds = {seed for _, seed in self._by_tuning(self.judged.losses)}
        return "task" if len(tasks) > len(seeds) else "seed"

    def _by_tuning(self, cells: Cells) -> Cells:
        """Return means over the seeds of each tuning, where there are several."""
        if self.tunings == 1:
            return cells
        groups: dict[tuple[str, int], list[float]] = {}
        for (task, seed), value in cells.items():
            groups.setdefault((task, seed % self.tunings), []).append(value)
        return {cell: sum(values) / len(values) for cell, values in groups.items()}

    def _only(self, cells: Cells, tasks: Sequence[str]) -> Cells:
        return self._by_tuning({cell: v for cell, v in cells.items() if cell[0] in tasks})

    def lines(self, tasks: Sequence[str]) -> list[Line]:
        """Compute the printed table over some of the tasks, the judged one first."""
        unit, ours = self.unit(tasks), self.judged
        mine = self._only(ours.losses, tasks)
        others = [row for row in self.rows if not row.judged]
        differences = {
            row.key: paired(mine, self._only(row.losses, tasks), unit=unit) for row in others
        }
        corrected = dict(
            zip(differences, holm([each.p_value for each in differences.values()]), strict=True)
        )
        times = {row.key: self._times(row, tasks, seconds=False) for row in self.rows}
        seconds = {row.key: self._times(row, tasks, seconds=True) for row in self.rows}
        found = profiles({key: _cells_as_tasks(each) for key, each in times.items()})
        cells = [cell for cell in ours.losses if cell[0] in tasks]
        how: dict[str, Any] = {"budget": 1.0, "unit": unit}
        lines = []
        for row in self.rows:
            other = None if row.judged else row.key
            lines.append(
                Line(
                    row=row,
                    loss=Interval.bootstrap(units_of(self._only(row.losses, tasks), unit)),
                    metric=Interval.bootstrap(units_of(self._only(row.metrics, tasks), unit)),
                    difference=differences.get(row.key),
                    p_value=corrected.get(row.key, 1.0),
                    steps=None
                    if other is None
                    else speed_up(times[ours.key], times[other], **how),
                    seconds=None
                    if other is None
                    else speed_up(seconds[ours.key], seconds[other], **how),
                    score=found[row.key].score(),
                    diverged=sum(cell in row.diverged for cell in cells) / len(cells),
                    reached=sum(t is not None for t in times[row.key].values()) / len(cells),
                )
            )
        return lines

    def reached(self) -> bool:
        """Whether anybody reached a target anywhere."""
        tasks = [*self.targets]
        return any(
            t is not None
            for row in self.rows
            for t in self._times(row, tasks, seconds=False).values()
        )

    def above_target(self, tasks: Sequence[str]) -> list[float]:
        """Return how far the judged one ended above the targets, NaN where it diverged."""
        row = self.judged
        cells = {
            cell: math.nan if cell in row.diverged else curve[-1] - self.targets[cell[0]]
            for cell, curve in row.curves.items()
            if cell[0] in tasks
        }
        return units_of(self._by_tuning(cells), self.unit(tasks))

    def _times(
        self, row: JudgementRow, tasks: Sequence[str], *, seconds: bool
    ) -> dict[tuple[str, int], Time]:
        """Return when the target was reached, as a share of the time that the slowest takes."""
        found: dict[tuple[str, int], Time] = {}
        for cell, curve in row.curves.items():
            task = cell[0]
            if task not in tasks:
                continue
            time = time_to_target(self.times[task], curve, self.targets[task])
            most = self.times[task][-1]
            if seconds:
                most *= max(each.step_seconds[task] for each in self.rows) / row.step_seconds[task]
            found[cell] = None if time is None else time / most
        return found


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was judged, on which terms, and what came out.

    Args:
        label: What the judged one is called.
        optimizer: The judged one, untuned.
        terms: Numbers that were the same for all, by name.
        sets: Tasks by set: "search" and "unseen".
        steps: Steps of a training, by task.
        tables: By kind.
        valid: Whether it reaches the targets on the unseen tasks.
        better: Whether it is better there than its predecessor.
        predecessor: Whose key.
        search_cost: Of the search, in trainings of the judged length; None: not known.
        judge_cost: Of tuning and tests, as well.
        winner: How the winner was chosen among the best of the search; None: there was one only.

    Example:
        >>> judgement = judge(catalog["lion"], ["two_moons"], unseen=[], steps=20, budget=2)
        >>> judgement.valid.answer, judgement.better.answer
    """

    label: str
    optimizer: OptimizerConfig
    terms: Mapping[str, Any]
    sets: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, int]
    tables: Mapping[str, Table]
    valid: Verdict
    better: Verdict
    predecessor: str
    search_cost: float | None
    judge_cost: float
    winner: Mapping[str, Any] | None = None

    @property
    def main(self) -> Table:
        """The table that the verdicts are read from: with schedules, where there is one."""
        return next(iter(self.tables.values()))

    @property
    def last_set(self) -> str:
        """The set that the verdicts are about: the unseen tasks, where there are some."""
        return next(name for name in ("unseen", "search") if self.sets.get(name))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: the rows, and the tables as they are printed."""
        return {
            "label": self.label,
            "optimizer": optimizer_to_dict(self.optimizer),
            "terms": dict(self.terms),
            "sets": {name: list(tasks) for name, tasks in self.sets.items()},
            "steps": dict(self.steps),
            "valid": _verdict(self.valid),
            "better": _verdict(self.better),
            "predecessor": self.predecessor,
            "search_cost": self.search_cost,
            "judge_cost": self.judge_cost,
            "winner": None if self.winner is None else dict(self.winner),
            "tables": {
                kind: {
                    "targets": dict(table.targets),
                    "rows": [row.to_dict() for row in table.rows],
                    "lines": {
                        name: [line.to_dict() for line in table.lines(tasks)]
                        for name, tasks in self.sets.items()
                        if tasks
                    },
                }
                for kind, table in self.tables.items()
            },
        }


def _cells_as_tasks(times: Mapping[tuple[str, int], Time]) -> dict[str, Time]:
    return {f"{task} {seed}": time for (task, seed), time in times.items()}


def _ends(interval: Interval) -> list[float | None]:
    """Return mean, low and high; JSON has no NaN."""
    values = (interval.mean, interval.low, interval.high)
    return [value if math.isfinite(value) else None for value in values]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "answer": verdict.answer,
        "interval": _ends(verdict.interval),
        "diverged": verdict.diverged,
        "p_value": verdict.p_value,
    }

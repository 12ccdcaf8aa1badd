"""A live progress bar for a meta-training; a line per measurement without a terminal."""

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import TextColumn

from optuna_evo.reports._bar import Bar


if TYPE_CHECKING:
    from optuna_evo.meta_training import OuterRecord

__all__ = ["MetaProgress"]


class MetaProgress(Bar):
    """Listen to a meta-training; draw the held-out loss beside that of the base rule.

    Args:
        n_steps: Outer steps of the meta-training.
        console: Where to draw; without a terminal each measurement is a line.
    """

    def __init__(self, n_steps: int, *, console: Console) -> None:
        self._console = console
        super().__init__(console, TextColumn("{task.fields[losses]}", markup=False))
        self._task = self._progress.add_task("outer step", total=n_steps, losses="")
        self._score = self._base = math.nan
        self._number = self._skipped = 0

    def stepped(self, record: "OuterRecord") -> None:
        """Show one more outer step."""
        self._number, self._skipped = record.number, record.n_skipped
        self._draw()

    def selected(self, number: int, score: float, base_score: float) -> None:
        """Show a measurement on held-out tasks."""
        self._number, self._base = number, base_score
        self._score = score if math.isnan(self._score) else min(score, self._score)
        if not self._console.is_terminal:
            self._console.print(
                f"outer step {number}: held-out loss {score:.4g}, base rule {base_score:.4g}"
            )
        self._draw()

    def summary(self) -> str:
        """Return what was reached in words."""
        skipped = f", {self._skipped} skipped as not finite" if self._skipped else ""
        return (
            f"{self._number} outer steps{skipped}; best held-out loss {self._score:.4g}, its base "
            f"rule {self._base:.4g}."
        )

    def _draw(self) -> None:
        losses = f"held-out loss {self._score:.4g}, base rule {self._base:.4g}"
        if self._skipped:
            losses += f", {self._skipped} skipped"
        self._progress.update(self._task, completed=self._number, losses=losses)

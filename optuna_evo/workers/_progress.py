"""One display for all workers: a bar and a line each on a terminal, plain lines elsewhere."""

from collections import Counter
import time
from types import TracebackType
from typing import Self

import optuna
from rich.console import Console
from rich.console import Group
from rich.console import RenderableType
from rich.live import Live
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn
from rich.text import Text

from optuna_evo.names import printable
from optuna_evo.reports import best_trials
from optuna_evo.search import FINISHED
from optuna_evo.workers._events import Event


__all__ = ["PoolProgress"]

_LINE_EVERY_S = 30.0  # without a terminal
_COUNT_EVERY_S = 30.0  # workers on other machines are seen in the database only


class PoolProgress:
    """Show trials done, the best value and what each worker does, while its `with` block runs.

    Args:
        study: The study.
        n_trials: Trials after which it ends.
        n_workers: How many workers there are.
        console: Where to draw, if it is a terminal.
        log: Where to write a line now and then, if it is none, and what workers print.
    """

    def __init__(
        self,
        study: optuna.Study,
        *,
        n_trials: int,
        n_workers: int,
        console: Console,
        log: Console,
    ) -> None:
        self._study, self._n_trials = study, n_trials
        self._console, self._log = console, log
        self._maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        best = best_trials(study, 1)
        self._best = best[0].value if best else None
        self._done = self._counted()
        self._counts: Counter[str] = Counter()
        self._doing = ["starting"] * n_workers
        self._said_at = self._counted_at = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("best {task.fields[best]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
        )
        self._task = self._bar.add_task(
            "trials", total=n_trials, completed=self._done, best=self._shown_best()
        )
        self._live = (
            Live(console=console, get_renderable=self._drawn, refresh_per_second=4)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def event(self, event: Event) -> None:
        """Show an event of a worker."""
        number, name = int(event.get("worker", 0)), event["event"]
        if name == "started":
            self._doing[number] = f"trial {event['trial']}"
        elif name == "reported" and event["n_reports"] > 1:
            share = f"report {event['report']}/{event['n_reports']}"
            self._doing[number] = f"trial {event['trial']}, {share}"
        elif name == "finished":
            self._finished(event)
        elif name == "failed":
            self._counts[name] += 1
            self.say(f"Worker {number}: trial {event['trial']} failed: {event['error']}")
        elif name == "worker_stopped":
            self._doing[number] = "ended"
        elif name == "worker_crashed":
            self._doing[number] = "starts anew" if "restart_in_s" in event else "given up"

    def line(self, number: int, text: str) -> None:
        """Show what a worker printed."""
        if text.strip():
            self._print(f"worker {number}: {text}")

    def say(self, text: str) -> None:
        """Show a sentence."""
        self._print(text)

    def _finished(self, event: Event) -> None:
        self._done += 1
        value = event.get("value")
        is_result = event["state"] == "complete" and event.get("feasible")
        if is_result and isinstance(value, float | int):
            pick = max if self._maximize else min
            self._best = value if self._best is None else pick(self._best, value)
        now = time.monotonic()
        if now - self._counted_at > _COUNT_EVERY_S:
            self._done, self._counted_at = self._counted(), now
        self._bar.update(self._task, completed=self._done, best=self._shown_best())
        if self._live is None and now - self._said_at > _LINE_EVERY_S:
            self._said_at = now
            self._print(f"{self._done} of {self._n_trials} trials, best {self._shown_best()}")

    def _counted(self) -> int:
        return len(self._study.get_trials(deepcopy=False, states=FINISHED))

    def _drawn(self) -> RenderableType:
        lines = [Text(f"  worker {k}: {doing}") for k, doing in enumerate(self._doing)]
        return Group(self._bar.get_renderable(), *lines)

    def _print(self, text: str) -> None:
        # what is printed on a terminal while the bar is drawn has to go above it
        console = self._console if self._live is not None else self._log
        console.print(Text(printable(text)), soft_wrap=True)

    def _shown_best(self) -> str:
        failed = f", {self._counts['failed']} failed" if self._counts["failed"] else ""
        return ("–" if self._best is None else f"{self._best:.4f}") + failed

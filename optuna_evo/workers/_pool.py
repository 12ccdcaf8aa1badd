"""Keep some workers running: start them, hear them, start them again when they crash, end them."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from dataclasses import field
import queue
import signal
import time
from typing import Any
from typing import Protocol

from optuna_evo.workers._events import Event
from optuna_evo.workers._events import new_event


__all__ = ["Display", "Launch", "Outcome", "run_pool", "Running"]

_POLL_S = 0.2
# In a row, without a trial finished between: then a worker is given up. What crashes a worker at
# once would do so for ever; what does so once a night should not end a search.
_MAX_RESTARTS = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_USAGE = 2  # the exit code of errors that no new try mends


class Running(Protocol):
    """A worker on its way, wherever it runs."""

    farewell: Event | None
    last_lines: Any  # its last lines of output

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""

    def send(self, number: int) -> None:
        """Send it a signal."""


class Launch(Protocol):
    """What starts the worker of a number, from 0."""

    def __call__(
        self,
        number: int,
        arguments: Sequence[str],
        on_event: Callable[[Event], None],
        on_line: Callable[[str], None],
    ) -> Running:
        """Start it; events and lines of output may come from any thread."""


class Display(Protocol):
    """What shows a pool."""

    def event(self, event: Event) -> None:
        """Show an event of a worker."""

    def line(self, number: int, text: str) -> None:
        """Show what a worker printed."""

    def say(self, text: str) -> None:
        """Show a sentence."""


@dataclass(frozen=True)
class Outcome:
    """How a pool ended.

    Args:
        stopped_by: The signal that ended it; None: it ended by itself.
        errors: Why workers ended for good, by number.
        n_crashes: How often a worker crashed.
    """

    stopped_by: int | None
    errors: dict[int, str]
    n_crashes: int


@dataclass
class _Slot:
    number: int
    running: Running | None = None
    starts_at: float | None = 0.0  # None: it does not start again
    n_restarts: int = 0


@dataclass
class _Signals:
    received: list[int] = field(default_factory=list)

    def take(self, number: int, frame: object) -> None:
        self.received.append(number)


class _Pool:
    def __init__(
        self,
        launch: Launch,
        n_workers: int,
        arguments: Callable[[int], Sequence[str] | None],
        display: Display,
        log: Callable[[Event], None],
        study: str,
    ) -> None:
        self._launch, self._arguments = launch, arguments
        self._display, self._log, self._study = display, log, study
        self._slots = [_Slot(number) for number in range(n_workers)]
        self._heard: queue.SimpleQueue[tuple[int, Event | str]] = queue.SimpleQueue()
        self._errors: dict[int, str] = {}
        self._n_crashes = 0

    def run(self, signals: _Signals) -> Outcome:
        n_passed_on = 0
        try:
            while self._is_alive():
                for number in signals.received[n_passed_on:]:
                    self._stop(number, is_first=n_passed_on == 0)
                    n_passed_on += 1
                if not n_passed_on:
                    self._start_what_is_due()
                self._hear(_POLL_S)
                for slot in self._slots:
                    self._look_at(slot, is_stopping=n_passed_on > 0)
        except BaseException:
            self._send_to_all(signal.SIGKILL)
            raise
        stopped_by = signals.received[0] if n_passed_on else None
        return Outcome(stopped_by, self._errors, self._n_crashes)

    def _is_alive(self) -> bool:
        return any(s.running is not None or s.starts_at is not None for s in self._slots)

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.running is None and slot.starts_at is not None and slot.starts_at <= now:
                slot.starts_at = None
                arguments = self._arguments(slot.number)
                if arguments is not None:
                    slot.running = self._launch(slot.number, arguments, *self._ears(slot.number))

    def _ears(self, number: int) -> tuple[Callable[[Event], None], Callable[[str], None]]:
        def hear(message: Event | str) -> None:
            self._heard.put((number, message))

        return hear, hear

    def _stop(self, number: int, *, is_first: bool) -> None:
        for slot in self._slots:
            slot.starts_at = None
        if is_first:
            self._display.say(
                "Stopping: each worker gives its trial back and ends. Once more to kill them."
            )
            self._send_to_all(number)
        else:
            self._send_to_all(signal.SIGKILL)

    def _send_to_all(self, number: int) -> None:
        for slot in self._slots:
            if slot.running is not None:
                slot.running.send(number)

    def _hear(self, seconds: float) -> None:
        """Show and log what workers say, for at most so long where they say nothing."""
        try:
            number, message = self._heard.get(timeout=seconds)
            while True:
                if isinstance(message, str):
                    self._display.line(number, message)
                else:
                    self._log(message)
                    self._display.event(message)
                    if message["event"] == "finished":
                        self._slots[number].n_restarts = 0
                number, message = self._heard.get_nowait()
        except queue.Empty:
            return

    def _look_at(self, slot: _Slot, *, is_stopping: bool) -> None:
        if slot.running is None:
            return
        code = slot.running.poll()
        if code is None:
            return
        self._hear(0)
        ended, slot.running = slot.running, None
        farewell = ended.farewell or {}
        reason, lines = farewell.get("reason"), list(ended.last_lines)
        if is_stopping or (code == 0 and reason == "done"):
            return
        if reason == "interrupted":
            self._display.say(f"Worker {slot.number} was told to end.")
        elif code == _USAGE or (reason == "error" and not farewell.get("restart", True)):
            why = farewell.get("error") or (lines or [f"it ended with code {code}"])[-1]
            self._errors[slot.number] = str(why).removeprefix("Error: ")
        else:
            self._restart(slot, _cause(code, farewell), lines)

    def _restart(self, slot: _Slot, cause: str, lines: list[str]) -> None:
        self._n_crashes += 1
        slot.n_restarts += 1
        pause = min(_FIRST_PAUSE_S * 2 ** (slot.n_restarts - 1), _LONGEST_PAUSE_S)
        again = slot.n_restarts <= _MAX_RESTARTS
        event = new_event(
            "worker_crashed",
            self._study,
            worker=slot.number,
            cause=cause,
            lines=lines,
            restart_in_s=pause if again else None,
        )
        self._log(event)
        if again:
            slot.starts_at = time.monotonic() + pause
            self._display.say(
                f"Worker {slot.number} crashed ({cause}); its trial is taken up again. It starts "
                f"anew in {pause:g} s ({slot.n_restarts} of {_MAX_RESTARTS})."
            )
        else:
            self._errors[slot.number] = f"it crashed {slot.n_restarts} times in a row ({cause})"
            self._display.say(
                f"Worker {slot.number} crashed {slot.n_restarts} times in a row ({cause}) and "
                "does not start again."
            )
        self._display.event(event)


def run_pool(
    launch: Launch,
    n_workers: int,
    *,
    arguments: Callable[[int], Sequence[str] | None],
    display: Display,
    log: Callable[[Event], None],
    study: str,
) -> Outcome:
    """Run workers until each has ended by itself, or the pool is told to stop.

    SIGINT (Ctrl-C) and SIGTERM are passed on to all workers once, which ends them politely; the
    second one kills them. A worker that crashes starts again after a pause that doubles, at most
    five times in a row without a finished trial.

    Args:
        launch: Starts a worker.
        n_workers: How many, at least 1.
        arguments: Returns the command line of a worker's number; None: it is not to start (again).
        display: Shows what happens.
        log: Takes each event.
        study: Name of the study.
    """
    signals = _Signals()
    with _taken(signals):
        return _Pool(launch, n_workers, arguments, display, log, study).run(signals)


@contextlib.contextmanager
def _taken(signals: _Signals) -> Iterator[None]:
    """Collect signals in place of what would happen to this process."""
    before = {}
    with contextlib.suppress(ValueError):  # signals belong to the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, signals.take)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cause(code: int, farewell: Event) -> str:
    if error := farewell.get("error"):
        return str(error).splitlines()[0][:200]
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"

"""How a search ends when it is asked to: Ctrl-C, and SIGTERM, by which machines are taken away.

Only training is ever cut short. What talks to the database is let finish, which takes
milliseconds, so that no trial is left half asked for, half told or half given back.

* Ctrl-C once: trials that are about to end are finished and told; others go back to the queue.
* SIGTERM: the trials that are being trained go back to the queue at once.
* A second one of either ends the process where it stands. The next worker of this machine gives
  its trials back at once, those of others after the grace period.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import logging
import signal
import threading
from types import FrameType
from typing import Any


__all__ = ["Signals", "Stopped"]

CHEAP_S = 10.0  # as long as people wait for what they have asked to stop
_logger = logging.getLogger(__name__)


class Stopped(KeyboardInterrupt):
    """The search was asked to end, and training was cut short."""


class Signals:
    """What was asked of this search so far: nothing, a signal, or to end at once.

    Use it as a context. Threads other than the main one cannot handle signals: nothing is asked
    there. A handler that somebody else has set for Ctrl-C is left alone.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.at_once = False
        self._seconds_left: float | None = None
        self._is_training = self._has_said = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._handle)
            if signal.getsignal(signal.SIGTERM) not in (None, signal.SIG_IGN):
                self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def training(self, seconds_left: float | None) -> Iterator[None]:
        """Let the block be cut short, before or within it.

        Args:
            seconds_left: How long the trials will take to their ends, counted from the beginning
                of the block; None: that is not known.

        Raises:
            Stopped: When the search is to end and that is too long.
        """
        self._seconds_left, self._is_training = seconds_left, True
        try:
            if self.asked is not None:
                self._stop_unless_cheap(self.asked)
            yield
        finally:
            self._is_training = False

    def raise_if_asked(self, told: str) -> None:
        """End the search, after its trials are told or given back, by what signals do otherwise.

        Args:
            told: What the user is told.
        """
        if self.asked is None:
            return
        previous: Callable[[int, FrameType | None], Any] | Any = self._previous[self.asked]
        if self.asked != signal.SIGTERM:
            raise KeyboardInterrupt(told)
        _logger.warning("%s", told)
        if callable(previous):
            previous(self.asked, None)
        raise SystemExit(128 + self.asked)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.asked is not None:
            self.at_once = True
            raise KeyboardInterrupt(
                "Stopped at once: the next `study run` on this machine takes up what was trained, "
                "one on another machine after two minutes."
            )
        self.asked = number
        if self._is_training:
            self._stop_unless_cheap(number)

    def _stop_unless_cheap(self, number: int) -> None:
        left = self._seconds_left
        if number != signal.SIGINT or left is None or left > CHEAP_S:
            raise Stopped
        if self._has_said:
            return
        self._has_said = True
        _logger.warning(
            "Stopping after the trials that are being trained, in about %.0f s. "
            "Ctrl-C again stops at once.",
            left,
        )

"""One worker as a process of its own: a fresh interpreter with a channel for events.

Its standard output carries events, one JSON object a line, and nothing else (what the objective
prints goes to its standard error). Its standard input is held open: when it ends, whoever started
the worker is gone, and the worker ends as if it were told to.
"""

from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any
from typing import TextIO

from optuna_evo.workers._events import Event


__all__ = ["follow_parent", "open_channel", "WorkerProcess"]

_LAST_LINES = 120  # what a crash says: its cause, and the stacks of all threads
_DRAIN_S = 2  # a grandchild may hold the pipes for ever


class WorkerProcess:
    """A running worker.

    Args:
        arguments: The command line behind `python -m optuna_evo.cli`.
        environment: Variables beside those of this process.
        on_event: Takes its events, in a thread.
        on_line: Takes other lines of its output, in a thread.
        folder: Its working folder; None: that of this process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_event: Callable[[Event], None],
        on_line: Callable[[str], None],
        folder: str | None = None,
    ) -> None:
        # a fresh interpreter: threads of torch and connections to a database survive no fork
        command = [sys.executable, "-X", "faulthandler", "-m", "optuna_evo.cli", *arguments]
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.farewell: Event | None = None
        self._on_event, self._on_line = on_event, on_line
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # Ctrl-C in a terminal reaches whoever started it, which passes it on once
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in (
                (self._process.stdout, self._take_event),
                (self._process.stderr, self._take_line),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, all that it wrote having been heard; None while it runs."""
        code = self._process.poll()
        if code is not None:
            for reader in self._readers:
                reader.join(_DRAIN_S)
            self._close()
        return code

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _close(self) -> None:
        streams = [self._process.stdin]
        outputs = (self._process.stdout, self._process.stderr)
        # closing what is being read would wait for a grandchild that holds the other end
        streams += [s for s, r in zip(outputs, self._readers, strict=True) if not r.is_alive()]
        for stream in streams:
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self, stream: TextIO, take: Callable[[str], None]) -> None:
        with contextlib.suppress(ValueError):  # closed
            for line in stream:
                take(line.rstrip("\n"))

    def _take_event(self, line: str) -> None:
        try:
            event: Any = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            self._take_line(line)  # written past Python, by a library in C
            return
        if event["event"] == "worker_stopped":
            self.farewell = event
        self._on_event(event)

    def _take_line(self, line: str) -> None:
        self.last_lines.append(line)
        self._on_line(line)


def open_channel() -> TextIO:
    """Return where this process writes events; what is printed goes to standard error now."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def follow_parent() -> None:
    """End this process politely when standard input ends: who started it is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
